import ArgumentParser
import Foundation
import TensorCore

/// Measures parts of Patchloom. Seconds depend on the machine and are only reported; counts do not, and `check` holds them.
@main
struct Bench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "patchloom-bench", abstract: "Measures parts of Patchloom on this machine.",
        subcommands: [
            OperationsBench.self, UNetBench.self, VAEBench.self, SeamsBench.self, TextBench.self, RenderBench.self,
            WireBench.self,
            CanvasBench.self, StartBench.self, CheckBench.self, TableBench.self, MethodsBench.self, RepetitionBench.self,
        ])

    static func main() {
        if let fault = WaitingPolicy.settle(program: "patchloom-bench") {
            printError("warning: waiting threads spin as libgomp has it, not as in workers (\(fault))")
        }
        main(nil)
    }
}
