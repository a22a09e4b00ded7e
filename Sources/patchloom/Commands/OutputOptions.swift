import ArgumentParser

/// The picture's file, and the amount of output on the way.
struct OutputOptions: ParsableArguments {
    @Option(
        name: .shortAndLong,
        help: ArgumentHelp(
            "The PNG file to write; an existing one is replaced. %d, or %03d with zeros, stands for the picture's number.",
            valueName: "file"))
    var output: String

    @Option(
        name: [.customShort("b"), .long], parsing: .unconditional,
        help: ArgumentHelp("Make so many pictures, each with the next seed.", valueName: "number"))
    var batchCount = 1

    @Flag(help: "Refuse to replace an existing file.")
    var noClobber = false

    @Flag(help: "Print where the time went.")
    var timings = false

    @Flag(help: "Print a summary of the result as JSON to standard output.")
    var json = false

    @Flag(name: .shortAndLong, help: "No progress, only errors.")
    var quiet = false

    @Flag(name: .shortAndLong, help: "Show what the workers say.")
    var verbose = false
}
