import ArgumentParser
import CommandSupport
import TensorCore

/// The program's entry.
@main
struct Main {
    static func main() {
        // This comes first, because the program may start again here. It computes nothing itself: its workers say if their
        // threads wait longer than they should.
        _ = WaitingPolicy.settle(program: OwnProgram.compare.rawValue)
        Program.run(Patchloom.self)
    }
}

/// This program's part of the command line of `patchloom`. It also reads it without the name of the command.
struct Patchloom: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "patchloom", abstract: OwnProgram.compareAbstract, version: Program.version,
        subcommands: [CompareCommand.self], defaultSubcommand: CompareCommand.self)
}
