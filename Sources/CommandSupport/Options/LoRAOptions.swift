public import ArgumentParser
public import Rendering
public import Requests

/// The folders of LoRA files.
public struct LoRAOptions: ParsableArguments {
    /// The defaults.
    public init() {}

    @Option(
        parsing: .unconditionalSingleValue,
        help: ArgumentHelp(
            "A folder of LoRA files; repeat the option to search several.", valueName: "folder"))
    var loraModelDir: [String] = []

    /// The user's folders.
    public var folders: LoRAFolders { LoRAFolders(loraModelDir) }

    /// Finds the LoRA files of a request.
    public func resolve(_ request: RenderRequest) throws(CommandFailure) -> LoRAFolders.Resolved {
        do { return try folders.resolve(request) } catch { throw CommandFailure(error) }
    }
}
