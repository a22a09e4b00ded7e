import ArgumentParser
import Rendering
import Requests

/// Where LoRA files are.
struct LoRAOptions: ParsableArguments {
    @Option(
        parsing: .unconditionalSingleValue,
        help: ArgumentHelp(
            "A folder of LoRA files; may be given several times, the first that has a name counts.", valueName: "folder"))
    var loraModelDir: [String] = []

    /// The folders that were named.
    var folders: LoRAFolders { LoRAFolders(loraModelDir) }

    /// Finds the LoRA files of a request.
    func resolve(_ request: RenderRequest) throws(CommandFailure) -> LoRAFolders.Resolved {
        do { return try folders.resolve(request) } catch { throw CommandFailure(error) }
    }
}
