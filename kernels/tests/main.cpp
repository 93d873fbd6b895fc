// Runs all tests, or those whose names contain the argument; `--tiny` for the smallest shapes.
#include "harness.h"

int main(int n_arguments, char** arguments) {
    const char* filter = "";
    for (int i = 1; i < n_arguments; i++) {
        if (std::string(arguments[i]) == "--tiny") {
            harness::is_tiny = true;
        } else {
            filter = arguments[i];
        }
    }
    for (harness::Test* test = harness::first_test; test; test = test->next) {
        if (std::string(test->name).find(filter) == std::string::npos) continue;
        const int n_before = harness::n_failures;
        test->run();
        printf("%s %s\n", harness::n_failures == n_before ? "ok    " : "FAILED", test->name);
    }
    printf("%d checks, %d failures\n", harness::n_checks, harness::n_failures);
    return harness::n_checks == 0 || harness::n_failures > 0;
}
