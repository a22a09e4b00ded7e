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
        if let fault = WaitingPolicy.settle(program: "patchloom-bench") {
            let warning = "warning: waiting threads spin as libgomp has it, not as in workers (\(fault))\n"
            FileHandle.standardError.write(Data(warning.utf8))
        }
        main(nil)
    }
}

/// Refuses a value outside of an option's range.
func check(_ option: String, _ value: Int, _ range: ClosedRange<Int>) throws {
    guard range.contains(value) else {
        throw ValidationError("--\(option) \(value) is not possible: choose \(range.lowerBound) to \(range.upperBound).")
    }
}
