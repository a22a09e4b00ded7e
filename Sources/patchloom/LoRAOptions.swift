import ArgumentParser
import Foundation
import Rendering
import Weights

/// Where LoRA files are.
struct LoRAOptions: ParsableArguments {
    @Option(
        parsing: .unconditionalSingleValue,
        help: ArgumentHelp(
            "A folder of LoRA files; may be given several times, names are looked for in all.", valueName: "folder"))
    var loraModelDir: [String] = []

    /// The files of the folders.
    func library() throws(CommandFailure) -> LoRALibrary {
        do { return try LoRALibrary(folders: loraModelDir) } catch { throw CommandFailure(error) }
    }

    /// A request whose LoRA files were found on this host, and where they are.
    struct Resolved {
        var request: RenderRequest
        var library: LoRALibrary
        /// Paths of the files that the request uses.
        var files: [String]
    }

    /// Finds the files of `--lora`, which are paths or names in the folders, and those of the prompt's tags, which are names.
    func resolve(_ request: RenderRequest) throws(CommandFailure) -> Resolved {
        let folders = try library()
        var resolved = request
        var files: [String] = []
        do {
            for index in request.loras.indices {
                let file = try find(request.loras[index].name, folders)
                resolved.loras[index].name = LoRALibrary.stem(ofPath: file.name)
                resolved.loras[index].sha256 = file.digest
                files.append(file.name)
            }
            for selection in try request.selectedLoRAs().dropFirst(request.loras.count) {
                files.append(try folders.file(named: selection.name).name)
            }
            return Resolved(
                request: resolved, library: try LoRALibrary(folders: loraModelDir, files: files), files: files)
        } catch let error as WeightsError {
            throw CommandFailure(error)
        } catch let error as RenderError {
            throw CommandFailure(error)
        } catch {
            throw CommandFailure(.internalFault, "\(error)")
        }
    }

    /// The same for several prompts of one request: the files of all of them.
    func resolve(_ request: RenderRequest, prompts: [String]) throws(CommandFailure) -> Resolved {
        var first: Resolved?
        var files: [String] = []
        for prompt in prompts {
            var request = request
            request.prompt = prompt
            let resolved = try resolve(request)
            first = first ?? resolved
            files += resolved.files.filter { !files.contains($0) }
        }
        do {
            let library = try LoRALibrary(folders: loraModelDir, files: files)
            return Resolved(request: first?.request ?? request, library: library, files: files)
        } catch {
            throw CommandFailure(error)
        }
    }

    /// The path of a file is one; anything else that could be a name is looked for in the folders. A folder is no LoRA,
    /// whatever it is called.
    private func find(_ text: String, _ folders: LoRALibrary) throws(WeightsError) -> LoRAFile {
        let mayBeName = !loraModelDir.isEmpty && !text.hasPrefix("/") && !text.hasPrefix(".")
        var isFolder: ObjCBool = false
        // A link that leads nowhere is one too: what it should lead to is not to be taken from elsewhere.
        let isThere =
            FileManager.default.fileExists(atPath: text, isDirectory: &isFolder)
            || (try? FileManager.default.destinationOfSymbolicLink(atPath: text)) != nil
        guard !isThere || isFolder.boolValue, mayBeName else { return try LoRAFile(path: text) }
        return try folders.file(named: text)
    }
}

/// The value of `--lora`: a path or a name, and behind it the scale, or the text encoder's scale and the U-Net's, in the order
/// of the prompt's tags.
struct LoRAArgument: Equatable {
    var file: String
    var scale: LoRAScale = 1

    /// Read from the end, because a path may hold colons: one or two numbers there are scales, NaN and infinity among them,
    /// which are refused later. Everything else is the path; a name that ends with a colon and a number is written with its
    /// ending.
    init(_ text: String) {
        file = text
        guard let last = Self.takeNumber(from: &file) else { return }
        scale = LoRAScale(last)
        if let first = Self.takeNumber(from: &file) { scale = LoRAScale(unet: last, textEncoder: first) }
    }

    /// The number behind the last colon, which is taken away with it.
    private static func takeNumber(from text: inout String) -> Double? {
        guard let colon = text.lastIndex(of: ":"), let number = Double(text[text.index(after: colon)...]) else { return nil }
        text = String(text[..<colon])
        return number
    }

    var selection: LoRASelection { LoRASelection(name: file, scale: scale) }
}
