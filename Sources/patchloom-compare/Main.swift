import ArgumentParser
import CommandSupport
import TensorCore

/// The program's entry.
@main
struct Main {
    static func main() {
        // First of all, because the program may begin again there. It computes nothing itself: its workers tell when their
        // threads wait longer than they should.
        _ = WaitingPolicy.settle(program: OwnProgram.compare.rawValue)
        Program.run(Patchloom.self)
    }
}

/// The command line of `patchloom`, as far as it is this program's. Without the name of the command it is read alike.
struct Patchloom: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "patchloom", abstract: OwnProgram.compareAbstract, version: Program.version,
        subcommands: [CompareCommand.self], defaultSubcommand: CompareCommand.self)
}
