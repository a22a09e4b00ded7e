public import ArgumentParser
public import Rendering
public import Requests

/// Where LoRA files are.
public struct LoRAOptions: ParsableArguments {
    /// The defaults.
    public init() {}

    @Option(
        parsing: .unconditionalSingleValue,
        help: ArgumentHelp(
            "A folder of LoRA files; may be given several times, names are looked for in all.", valueName: "folder"))
    var loraModelDir: [String] = []

    /// The folders that were named.
    public var folders: LoRAFolders { LoRAFolders(loraModelDir) }

    /// Finds the LoRA files of a request.
    public func resolve(_ request: RenderRequest) throws(CommandFailure) -> LoRAFolders.Resolved {
        do { return try folders.resolve(request) } catch { throw CommandFailure(error) }
    }
}
