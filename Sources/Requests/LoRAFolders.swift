import Foundation
public import Rendering
import Sentences
public import Weights

/// The folders of this host that hold LoRA files.
public struct LoRAFolders: Sendable {
    public var paths: [String]
    /// The memory for the hashes of the files.
    public var digests: DigestMemory

    /// Reads nothing yet.
    public init(_ paths: [String], digests: DigestMemory = DigestMemory()) { (self.paths, self.digests) = (paths, digests) }

    /// The files of the folders, and the files at some paths. Throws the errors of `LoRALibrary`.
    public func library(files: [String] = []) throws(RequestError) -> LoRALibrary {
        do { return try LoRALibrary(folders: paths, files: files, digests: digests) } catch {
            throw RequestError(error).about(.loraModelDir)
        }
    }

    /// A request whose LoRA files were found on this host.
    public struct Resolved: Sendable {
        /// It names its LoRA files as `library` names them.
        public var request: RenderRequest
        /// The files of the folders and of the request's paths.
        public var library: LoRALibrary
        /// Paths of the request's files.
        public var files: [String]
    }

    /// Finds the request's LoRA files. The request's own are paths or names in the folders; the prompt's tags are names.
    ///
    /// - Throws: `notFound` for a missing file, `badInput` for a file that is no LoRA, `invalid` for a name of several files.
    public func resolve(_ request: RenderRequest) throws(RequestError) -> Resolved {
        let folders = try library()
        var resolved = request
        var files: [String] = []
        for index in request.loras.indices {
            let file = try find(request.loras[index].name, folders)
            resolved.loras[index].name = LoRALibrary.stem(ofPath: file.name)
            resolved.loras[index].sha256 = file.digest
            files.append(file.name)
        }
        let tagged: ArraySlice<LoRASelection>
        do { tagged = try request.selectedLoRAs().dropFirst(request.loras.count) } catch { throw RequestError(error) }
        for selection in tagged {
            do { files.append(try folders.file(named: selection.name).name) } catch {
                throw RequestError(error).about(.prompt)
            }
        }
        return Resolved(request: resolved, library: try library(files: files), files: files)
    }

    /// The same for several prompts: the request of the first prompt, and the files of all prompts.
    public func resolve(_ request: RenderRequest, prompts: [String]) throws(RequestError) -> Resolved {
        var first: Resolved?
        var files: [String] = []
        for prompt in prompts {
            var request = request
            request.prompt = prompt
            let resolved = try resolve(request)
            first = first ?? resolved
            files += resolved.files.filter { !files.contains($0) }
        }
        return Resolved(request: first?.request ?? request, library: try library(files: files), files: files)
    }

    /// Finds a file by its path, or else by its name in the folders. A folder is never a LoRA.
    private func find(_ text: String, _ folders: LoRALibrary) throws(RequestError) -> LoRAFile {
        let mayBeName = !paths.isEmpty && !text.hasPrefix("/") && !text.hasPrefix(".")
        var isFolder: ObjCBool = false
        // A link without a target is a path too. No file of another folder may take its place.
        let isThere =
            FileManager.default.fileExists(atPath: text, isDirectory: &isFolder)
            || (try? FileManager.default.destinationOfSymbolicLink(atPath: text)) != nil
        let isPath = isThere && !isFolder.boolValue || !mayBeName
        do { return try isPath ? LoRAFile(path: text, digests: digests) : folders.file(named: text) } catch {
            throw RequestError(error).about(.lora, text)
        }
    }
}
