import Foundation
public import Rendering
public import Weights

/// The folders of this host in which LoRA files are looked for.
public struct LoRAFolders: Sendable {
    /// Names are looked for in all of them.
    public var paths: [String]

    /// Nothing is read yet.
    public init(_ paths: [String]) { self.paths = paths }

    /// The files of the folders, and some that were named by their paths.
    ///
    /// - Throws: what `LoRALibrary` throws, in its category.
    public func library(files: [String] = []) throws(RequestError) -> LoRALibrary {
        do { return try LoRALibrary(folders: paths, files: files) } catch { throw RequestError(error) }
    }

    /// A request whose LoRA files were found on this host, and where they are.
    public struct Resolved: Sendable {
        /// Names its LoRAs as `library` knows them.
        public var request: RenderRequest
        /// The folders, and the files that were named by their paths.
        public var library: LoRALibrary
        /// Paths of the files that the request uses.
        public var files: [String]
    }

    /// Finds the files of the request's own LoRAs, which are paths or names in the folders, and those of the prompt's tags,
    /// which are names.
    ///
    /// - Throws: `notFound`, `badInput` or `invalid`, for a file that is not there, is no LoRA, or is one of several.
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
            do { files.append(try folders.file(named: selection.name).name) } catch { throw RequestError(error) }
        }
        return Resolved(request: resolved, library: try library(files: files), files: files)
    }

    /// The same for several prompts of one request: the files of all of them. The request is that of the first prompt.
    ///
    /// - Throws: what `resolve(_:)` throws.
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

    /// The path of a file is one; anything else that could be a name is looked for in the folders. A folder is no LoRA,
    /// whatever it is called.
    private func find(_ text: String, _ folders: LoRALibrary) throws(RequestError) -> LoRAFile {
        let mayBeName = !paths.isEmpty && !text.hasPrefix("/") && !text.hasPrefix(".")
        var isFolder: ObjCBool = false
        // A link that leads nowhere is a path too: no file of another folder may take its place.
        let isThere =
            FileManager.default.fileExists(atPath: text, isDirectory: &isFolder)
            || (try? FileManager.default.destinationOfSymbolicLink(atPath: text)) != nil
        let isPath = isThere && !isFolder.boolValue
        do {
            return isPath || !mayBeName ? try LoRAFile(path: text) : try folders.file(named: text)
        } catch {
            throw RequestError(error)
        }
    }
}
