import ArgumentParser
import Foundation
import TensorCore

/// Measures parts of Patchloom. Numbers that must hold are asserted by tests, on counts; this program only reports seconds.
@main
struct Bench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "patchloom-bench", abstract: "Measures parts of Patchloom on this machine.",
        subcommands: [UNetBench.self, OperationsBench.self, MethodsBench.self, RepetitionBench.self])

    static func main() {
        warnOfWaiting(WaitingPolicy.settle(program: "patchloom-bench"))
        main(nil)
    }

    /// What is measured then is not what workers do.
    private static func warnOfWaiting(_ fault: String?) {
        guard let fault else { return }
        let warning = "warning: waiting threads spin as libgomp has it, not as in workers (\(fault))\n"
        FileHandle.standardError.write(Data(warning.utf8))
    }
}
