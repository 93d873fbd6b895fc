// Runs all tests, or those whose names contain the argument; `--tiny` for the smallest shapes.
#include "harness.h"
#include "ptx.h"

static void run(const harness::Test& test, const char* how) {
    const int n_before = harness::n_failures;
    test.run();
    printf("%s %s%s\n", harness::n_failures == n_before ? "ok    " : "FAILED", test.name, how);
}

int main(int n_arguments, char** arguments) {
    const char* filter = "";
    for (int i = 1; i < n_arguments; i++) {
        if (std::string(arguments[i]) == "--tiny") {
            harness::is_tiny = true;
        } else {
            filter = arguments[i];
        }
    }
    const bool is_either = getenv("EMULATOR_ASYNC") == nullptr;
    for (harness::Test* test = harness::first_test; test; test = test->next) {
        if (std::string(test->name).find(filter) == std::string::npos) continue;
        const size_t n_copies_before = emulator::n_copies;
        run(*test, "");
        if (!is_either || emulator::n_copies == n_copies_before) continue;
        emulator::copies_are_eager = true;
        run(*test, ", copies arriving at once");
        emulator::copies_are_eager = false;
    }
    printf("%d checks, %d failures\n", harness::n_checks, harness::n_failures);
    return harness::n_checks == 0 || harness::n_failures > 0;
}
