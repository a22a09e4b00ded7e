import ArgumentParser
import CommandSupport
import ImageFiles
import MethodComparison

/// The options for the methods to compare and for the result files.
struct CompareOptions: ParsableArguments {
    @Option(help: ArgumentHelp(MethodRecipe.help, valueName: "list"))
    var methods = "direct,hires,hidiffusion,cut,cut+hidiffusion,auto"

    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Sizes as multiples of the model's native side, with commas between them (default: 2, unless --width or --height says "
                + "otherwise).", valueName: "list"))
    var scale: String?

    @Option(help: ArgumentHelp("A text file of prompts, one a line, after those of --prompt.", valueName: "file"))
    var promptList: String?

    @Option(
        name: .shortAndLong,
        help: ArgumentHelp(
            "The contact sheet, NAME.png; the figures go beside it, as NAME.csv and NAME.md. Existing files are replaced.",
            valueName: "file"))
    var output: String

    @Option(help: ArgumentHelp("A folder that keeps every picture; it is made where there is none.", valueName: "folder"))
    var keep: String?

    @Option(parsing: .unconditional, help: ArgumentHelp("Longer side of a picture on the sheet.", valueName: "pixels"))
    var cell = 256

    @Flag(help: "Refuse to replace an existing file.")
    var noClobber = false

    @Flag(name: .shortAndLong, help: "No progress, only errors.")
    var quiet = false

    @Flag(name: .shortAndLong, help: "Show what the workers say.")
    var verbose = false

    static let cellRange = 48...2048
}

/// The files that a comparison writes.
struct CompareFiles {
    let sheet: OutputFile
    private var csv: OutputFile
    private var markdown: OutputFile

    /// Checks that all files can be written.
    init(_ options: CompareOptions) throws {
        let ending = ".png"
        guard options.output.hasSuffix(ending), options.output.utf8.count > ending.utf8.count else {
            throw CommandFailure(
                .usage, "--output names the contact sheet: give a file that ends with .png, such as sheet.png.")
        }
        let base = options.output.dropLast(ending.count)
        func place(_ ending: String) throws -> OutputFile {
            try OutputFile(path: base + ending, replacesExisting: !options.noClobber)
        }
        (sheet, csv, markdown) = (try place(ending), try place(".csv"), try place(".md"))
    }

    /// Writes the figures. A file that this has written before is replaced, whatever the user says about existing files.
    mutating func write(_ table: ComparisonTable) throws {
        try Self.write(table.csv, to: &csv)
        try Self.write(table.markdown, to: &markdown)
    }

    private static func write(_ text: String, to file: inout OutputFile) throws(ImageFileError) {
        try file.write(Array(text.utf8))
        file = try OutputFile(path: file.path)
    }
}
