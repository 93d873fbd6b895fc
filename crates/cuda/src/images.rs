pub(crate) struct Image {
    pub(crate) name: &'static str,
    pub(crate) fatbin: Option<&'static [u8]>,
    pub(crate) source: &'static str,
}
pub(crate) fn image(_: &str) -> Option<&'static Image> {
    None
}
pub(crate) fn serves(_: (u32, u32)) -> bool {
    false
}
