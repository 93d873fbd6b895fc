//! Pulls from a hub on the loopback interface.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::json;

use super::*;
use crate::config::tests::tiny;
use crate::{Family, write_hf_directory};

const SHA: &str = "0123456789abcdef0123456789abcdef01234567";

/// A hub with one repository `org/repo`. Remembers the request line and the headers of each request.
struct Server {
    hub: Hub,
    files: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(files: BTreeMap<String, Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (files, requests) = (Arc::new(Mutex::new(files)), Arc::new(Mutex::new(Vec::new())));
        let (served, seen) = (Arc::clone(&files), Arc::clone(&requests));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let lines: Vec<String> = BufReader::new(&stream)
                    .lines()
                    .map_while(Result::ok)
                    .take_while(|line| !line.is_empty())
                    .collect();
                let path = lines[0].split(' ').nth(1).unwrap().to_string();
                let body = served.lock().unwrap().get(&path).cloned();
                let start = lines.iter().find_map(|line| {
                    line.strip_prefix("Range: bytes=")?.strip_suffix('-')?.parse::<usize>().ok()
                });
                let (status, range, body) = match (body, start) {
                    (None, _) => ("404 Not Found", String::new(), Vec::new()),
                    (Some(body), None) => ("200 OK", String::new(), body),
                    (Some(body), Some(start)) if start >= body.len() => {
                        ("416 Range", String::new(), Vec::new())
                    }
                    (Some(body), Some(start)) => (
                        "206 Partial Content",
                        format!(
                            "Content-Range: bytes {start}-{}/{}\r\n",
                            body.len() - 1,
                            body.len()
                        ),
                        body[start..].to_vec(),
                    ),
                };
                seen.lock().unwrap().push(lines.join("\n"));
                let head = format!(
                    "HTTP/1.1 {status}\r\n{range}Content-Length: {}\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                let _ = (&stream).write_all(&[head.as_bytes(), &body].concat());
            }
        });
        let hub = Hub::new(endpoint, Some("hf_secret".into())).unwrap();
        Self { hub, files, requests }
    }

    fn pull(&self, directory: &Path) -> Result<PathBuf, WeightsError> {
        self.hub.pull(directory, "org/repo", &mut |_| ())
    }

    fn requested(&self) -> Vec<String> {
        let requests = std::mem::take(&mut *self.requests.lock().unwrap());
        requests
            .iter()
            .map(|lines| lines.split(' ').nth(1).unwrap().rsplit('/').next().unwrap().to_string())
            .collect()
    }
}

/// The files of a tiny model in one or two safetensors files, as the hub serves them.
fn repository(sharded: bool) -> BTreeMap<String, Vec<u8>> {
    let directory = tempfile::tempdir().unwrap();
    let config = tiny(Family::Qwen2);
    let tensors = |_: ()| {
        tiny(Family::Qwen2).tensors().into_iter().map(|spec| {
            let n = spec.n_elements().unwrap();
            Ok::<_, String>((spec.name, spec.shape, vec![0.5; n]))
        })
    };
    write_hf_directory(directory.path(), &config, &mut tensors(())).unwrap();
    let mut files = BTreeMap::from([
        ("config.json".to_string(), fs::read(directory.path().join("config.json")).unwrap()),
        ("tokenizer.json".to_string(), b"{}".to_vec()),
    ]);
    if sharded {
        let (mut weight_map, specs) = (BTreeMap::new(), config.tensors());
        for (i, specs) in specs.chunks(specs.len().div_ceil(2)).enumerate() {
            let name = format!("model-{i}.safetensors");
            let path = directory.path().join(&name);
            let mut part =
                tensors(()).filter(|t| specs.iter().any(|spec| spec.name == t.as_ref().unwrap().0));
            crate::write_safetensors(&path, &BTreeMap::new(), specs, &mut part).unwrap();
            weight_map.extend(specs.iter().map(|spec| (spec.name.clone(), name.clone())));
            files.insert(name, fs::read(path).unwrap());
        }
        files.insert(INDEX.into(), json!({"weight_map": weight_map}).to_string().into_bytes());
    } else {
        files.insert(WEIGHTS.into(), fs::read(directory.path().join(WEIGHTS)).unwrap());
    }
    let siblings: Vec<_> = files
        .iter()
        .map(|(name, bytes)| {
            let mut file = json!({"rfilename": name, "size": bytes.len()});
            if name.ends_with(".safetensors") {
                let path = directory.path().join("blob");
                fs::write(&path, bytes).unwrap();
                file["lfs"] =
                    json!({"sha256": packages::sha256_of(&path).unwrap(), "size": bytes.len()});
            }
            file
        })
        .collect();
    let listing =
        json!({"id": "org/repo", "sha": SHA, "siblings": siblings}).to_string().into_bytes();
    let mut served: BTreeMap<_, _> = files
        .into_iter()
        .map(|(name, bytes)| (format!("/org/repo/resolve/{SHA}/{name}"), bytes))
        .collect();
    served.insert("/api/models/org/repo?blobs=true".into(), listing);
    served
}

fn has_curl() -> bool {
    let found =
        Command::new("curl").arg("--version").output().is_ok_and(|output| output.status.success());
    if !found {
        println!("skipped: this machine has no curl");
    }
    found
}

fn weights_url() -> String {
    format!("/org/repo/resolve/{SHA}/{WEIGHTS}")
}

#[test]
fn a_repository_becomes_a_model_and_is_not_fetched_twice() {
    if !has_curl() {
        return;
    }
    for sharded in [false, true] {
        let (server, models) = (Server::start(repository(sharded)), tempfile::tempdir().unwrap());
        let path = server.pull(models.path()).unwrap();
        assert_eq!(path, models.path().join("org--repo"));
        let model = ModelFile::open(&path).unwrap();
        assert_eq!(model.config(), &tiny(Family::Qwen2));
        assert_eq!(model.read_f32("lm_head.weight").unwrap(), [0.5; 20 * 32]);
        assert!(
            fs::read_dir(&path)
                .unwrap()
                .flatten()
                .all(|e| is_plain_file_name(&e.file_name().to_string_lossy()))
        );
        // The token is sent, and nowhere near the command line.
        assert!(
            server
                .requests
                .lock()
                .unwrap()
                .iter()
                .all(|r| r.contains("Authorization: Bearer hf_secret"))
        );
        server.requested();
        server.pull(models.path()).unwrap();
        assert_eq!(server.requested(), Vec::<String>::new());
    }
}

#[test]
fn an_interrupted_pull_goes_on_where_it_stopped() {
    if !has_curl() {
        return;
    }
    let (server, models) = (Server::start(repository(false)), tempfile::tempdir().unwrap());
    let weights = server.files.lock().unwrap().remove(&weights_url()).unwrap();
    let error = server.pull(models.path()).unwrap_err();
    assert!(error.to_string().contains("404"), "{error}");
    assert!(!models.path().join("org--repo").exists());
    // Half of the weights came before the connection broke.
    let part = models.path().join(".org--repo.partial/model.safetensors.part");
    fs::write(&part, &weights[..weights.len() / 2]).unwrap();
    server.files.lock().unwrap().insert(weights_url(), weights.clone());
    server.requested();
    let path = server.pull(models.path()).unwrap();
    assert_eq!(server.requested(), ["repo?blobs=true", "model.safetensors"]);
    assert_eq!(fs::read(path.join(WEIGHTS)).unwrap(), weights);
}

#[test]
fn a_complete_part_is_fetched_anew_when_the_server_has_nothing_to_add() {
    if !has_curl() {
        return;
    }
    let (server, models) = (Server::start(repository(false)), tempfile::tempdir().unwrap());
    let staging = models.path().join(".org--repo.partial");
    fs::create_dir_all(&staging).unwrap();
    fs::write(staging.join(REVISION_MARK), SHA).unwrap();
    fs::write(
        staging.join("model.safetensors.part"),
        &server.files.lock().unwrap()[&weights_url()],
    )
    .unwrap();
    assert!(server.pull(models.path()).is_ok());
}

#[test]
fn wrong_content_is_refused_and_not_kept() {
    if !has_curl() {
        return;
    }
    let (server, models) = (Server::start(repository(false)), tempfile::tempdir().unwrap());
    for change in [
        |bytes: &mut Vec<u8>| *bytes.last_mut().unwrap() ^= 1,
        |bytes: &mut Vec<u8>| bytes.truncate(9),
    ] {
        change(server.files.lock().unwrap().get_mut(&weights_url()).unwrap());
        let error = server.pull(models.path()).unwrap_err();
        assert!(matches!(error, WeightsError::WrongContent { .. }), "{error}");
        assert!(!models.path().join(".org--repo.partial/model.safetensors.part").exists());
    }
}

#[test]
fn an_unsupported_model_is_refused_before_its_weights_are_fetched() {
    if !has_curl() {
        return;
    }
    let mut files = repository(false);
    let config = files.get_mut(&format!("/org/repo/resolve/{SHA}/config.json")).unwrap();
    *config =
        String::from_utf8(config.clone()).unwrap().replace("\"qwen2\"", "\"qwen9\"").into_bytes();
    let (server, models) = (Server::start(files), tempfile::tempdir().unwrap());
    let error = server.pull(models.path()).unwrap_err();
    assert!(error.to_string().contains("architecture `qwen9`"), "{error}");
    assert!(!server.requested().contains(&WEIGHTS.to_string()));
}

#[test]
fn failures_are_named_with_the_way_out() {
    if !has_curl() {
        return;
    }
    let models = tempfile::tempdir().unwrap();
    let empty = Server::start(BTreeMap::new());
    let error = empty.pull(models.path()).unwrap_err();
    assert!(
        error.to_string().contains("404") && error.hint().unwrap().contains("HF_TOKEN"),
        "{error}"
    );
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let hub = Hub::new(format!("http://{closed}"), None).unwrap();
    let error = hub.pull(models.path(), "org/repo", &mut |_| ()).unwrap_err();
    assert!(error.hint().unwrap().contains("network"), "{error}");
}

#[test]
fn names_and_settings_that_could_do_harm_are_refused() {
    assert_eq!(folder_name("HuggingFaceTB/SmolLM2-135M").unwrap(), "HuggingFaceTB--SmolLM2-135M");
    for name in ["repo", "a/b/c", "../b", "a/..", "a/.b", "a--b/c", "a/b\"", "a/b?x", "/b", "a/"] {
        assert!(folder_name(name).is_err(), "{name}");
    }
    for (endpoint, token) in [
        ("ftp://x", None),
        ("https://x\"\noutput = \"/etc/passwd", None),
        ("https://x", Some("a\"\nurl=b")),
    ] {
        assert!(Hub::new(endpoint.into(), token.map(String::from)).is_err(), "{endpoint}");
    }
}
