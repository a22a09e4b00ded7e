import ArgumentParser
import Foundation
import TensorCore

/// Measures parts of Patchloom. Tests check the required numbers, on counts. This program only reports seconds.
@main
struct Bench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "patchloom-bench", abstract: "Measures parts of Patchloom on this machine.",
        subcommands: [UNetBench.self, OperationsBench.self, MethodsBench.self, RepetitionBench.self])

    static func main() {
        warnOfWaiting(WaitingPolicy.settle(program: "patchloom-bench"))
        main(nil)
    }

    /// Warns that the measured waiting is not that of workers.
    private static func warnOfWaiting(_ fault: String?) {
        guard let fault else { return }
        let warning = "warning: waiting threads spin as libgomp has it, not as in workers (\(fault))\n"
        FileHandle.standardError.write(Data(warning.utf8))
    }
}
