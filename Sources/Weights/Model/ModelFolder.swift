import FileLinks
import Sentences

/// Refuses folders without a model, and finds the folder that was meant.
enum ModelFolder {
    private static let index = "model_index.json"

    /// Throws `.unsupportedFormat` with the model's folder for the path of a `model_index.json`.
    static func checkIsNoIndex(_ path: String) throws(WeightsError) {
        if path.split(separator: "/").last == index[...], fileExists(path), !isFolder(path) { throw indexRefusal(path) }
    }

    static func indexRefusal(_ path: String) -> WeightsError {
        let folder = path.dropLast(index.utf8.count)
        let meant = folder.isEmpty ? "." : folder.count > 1 ? String(folder.dropLast()) : String(folder)
        return .unsupportedFormat("\(path) is the index of a model in diffusers' layout; name its folder \"\(meant)\" instead.")
    }

    /// Throws unless the path is a folder.
    static func checkMayConfigure(_ path: String) throws(WeightsError) {
        guard fileExists(path), !isFolder(path) else { return try checkFolder(path) }
        let isYAML = [".yaml", ".yml"].contains(where: path.lowercased().hasSuffix)
        let what = isYAML ? "settings in YAML, as other programs keep them beside a checkpoint" : "a file"
        throw .unsupportedFormat(
            "\(path) is \(what), but \(.modelConfig) takes the folder of a model in diffusers' layout; name such a folder, or "
                + "leave the option out.")
    }

    /// The refusal of a folder without a `model_index.json`, with the path that was probably meant.
    static func refusal(_ store: FileStore) -> WeightsError {
        let name = store.name
        let plain = WeightsError.notFound(
            "\(name) is not a model in diffusers' layout: it has no \(index); name the folder that has one.")
        // Files in memory have no folders around them.
        guard let folder = store.folder, let names = try? StoreFiles.names(in: folder) else { return plain }
        func refusal(_ what: String) -> WeightsError {
            WeightsError.notFound("\(name) is not the folder of a model: \(what).")
        }

        let parent = parent(of: folder)
        if fileExists("\(parent)/\(index)") { return refusal("it is a part of the model \(parent); name that folder") }
        if names.contains("snapshots"), names.contains("blobs") || names.contains("refs") {
            guard let snapshot = snapshot(of: folder) else {
                return refusal(
                    "it is one of Hugging Face's cache, and no snapshot in it has a \(index); download the model again")
            }
            return refusal("it is one of Hugging Face's cache, where the model is \(snapshot); name that folder")
        }
        let models = names.filter { fileExists("\(folder)/\($0)/\(index)") }
        if let inner = models.first {
            return refusal(
                models.count == 1
                    ? "the model lies one level deeper, in \(folder)/\(inner); name that folder"
                    : "\(models.count) models lie one level deeper, such as \(folder)/\(inner); name the folder of one")
        }
        if names.contains("unet"), names.contains("vae") {
            return refusal("it has a unet and a vae, but no \(index), which is missing from the download; fetch it as well")
        }
        return checkpoint(names, in: folder).map { refusal($0) } ?? plain
    }

    /// A hint at checkpoints in a folder without a model.
    private static func checkpoint(_ names: [String], in folder: String) -> String? {
        let entries = names.filter { $0.hasSuffix(".safetensors") }
        let files = entries.filter { fileExists("\(folder)/\($0)") }
        if files.isEmpty, let link = entries.lazy.compactMap({ BrokenLink(on: "\(folder)/\($0)") }).first {
            return "it has no \(index), and \(link.explanation); download the file again, or mend the link"
        }
        if let file = files.first {
            return files.count == 1
                ? "it has no \(index), but a file of weights; if that is a whole checkpoint, name \(folder)/\(file)"
                : "it has no \(index), but \(files.count) files of weights; if they are whole checkpoints, name one, such as "
                    + "\(folder)/\(file)"
        }
        return names.first { ForeignFormat.ending(of: $0) != nil }.map {
            "it has no \(index) and no .safetensors file; \(folder)/\($0) is of another format, which is not supported"
        }
    }

    /// The snapshot with a model: the main branch's, else any.
    private static func snapshot(of folder: String) -> String? {
        let names = (try? StoreFiles.names(in: folder + "/snapshots")) ?? []
        let main = (try? FileStore(folder: folder).text("refs/main"))?.split(whereSeparator: \.isWhitespace).first.map(
            String.init)
        let found = names.filter { fileExists("\(folder)/snapshots/\($0)/\(index)") }
        return (found.first { $0 == main } ?? found.first).map { "\(folder)/snapshots/\($0)" }
    }

    private static func parent(of folder: String) -> String {
        let last = folder.split(separator: "/").last
        guard last != ".", last != "..", let slash = folder.lastIndex(of: "/") else {
            return last == "." || last == ".." ? folder + "/.." : "."
        }
        return slash == folder.startIndex ? "/" : String(folder[..<slash])
    }
}
