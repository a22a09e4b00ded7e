import ArgumentParser

/// Measures parts of Patchloom. Numbers that must hold are asserted by tests, on counts; this program only reports seconds.
@main
struct Bench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "patchloom-bench", abstract: "Measures parts of Patchloom on this machine.",
        subcommands: [UNetBench.self, OperationsBench.self, MethodsBench.self, RepetitionBench.self])
}
