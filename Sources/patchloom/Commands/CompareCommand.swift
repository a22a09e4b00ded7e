import ArgumentParser
import CommandSupport

/// `patchloom compare`: its line in the help. Another program has the command and takes over before arguments are read.
struct CompareCommand: ParsableCommand {
    static let name = "compare"
    static let configuration = CommandConfiguration(commandName: name, abstract: OwnProgram.compareAbstract)

    func run() throws { try OwnProgram.compare.takeOver() }
}
