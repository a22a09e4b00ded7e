import Sentences
import StrictJSON

/// `*.safetensors.index.json`: the file of each tensor, for weights in several files. Its `metadata.total_size` is not used.
struct ShardIndex: Equatable {
    /// File name by tensor name.
    let fileOfTensor: [String: String]
    /// File names, sorted.
    let files: [String]

    static let maxShards = 1024

    /// - Parameter name: the index in messages.
    init(_ json: JSONValue, name: String) throws(WeightsError) {
        guard let map = json["weight_map"]?.objectValue else {
            throw .malformed("\(name) has no object \"weight_map\"; download it again.")
        }
        guard !map.isEmpty else { throw .malformed("\(name) names no tensors; download it again.") }
        var fileOfTensor: [String: String] = [:]
        var files: Set<String> = []
        for (tensor, value) in map {
            guard let file = value.stringValue else {
                throw .malformed("\(name): the file of tensor \(quoted(tensor)) is \(value.kindName), not a string.")
            }
            guard ShardIndex.isShardName(file) else {
                throw .badPath("\(name): \(quoted(file)) is not the name of a .safetensors file in the same folder.")
            }
            guard fileOfTensor.updateValue(file, forKey: tensor) == nil else {
                throw .malformed("\(name): two tensors are named \(quoted(tensor)).")
            }
            files.insert(file)
            guard files.count <= ShardIndex.maxShards else {
                throw .malformed("\(name) names more than \(ShardIndex.maxShards) files.")
            }
        }
        self.fileOfTensor = fileOfTensor
        self.files = files.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }

    /// `[A-Za-z0-9._-]{1,128}\.safetensors`, which no directory and no path matches.
    static func isShardName(_ name: String) -> Bool {
        name.hasSuffix(".safetensors") && isWord(name, and: "._-") && (13...140).contains(name.utf8.count)
    }

    /// Throws unless every tensor of the index lies in its file, and the index names every tensor in a file for which
    /// `isPart` holds. Tensors outside the network may lie in any file.
    func check(
        against shards: [String: SafetensorsFile], name: String, isPart: (String) -> Bool
    ) throws(WeightsError) {
        for file in files {
            guard let shard = shards[file] else {
                throw .notFound("\(name) names the file \(quoted(file)), which does not exist; download it.")
            }
            for tensor in shard.tensors.keys.sorted() where fileOfTensor[tensor] != file && isPart(tensor) {
                let place = fileOfTensor[tensor].map { "puts it into \(quoted($0))" } ?? "does not name it"
                throw .malformed("\(shard.name) holds tensor \(quoted(tensor)), but \(name) \(place).")
            }
        }
        for (tensor, file) in fileOfTensor where shards[file]?.tensors[tensor] == nil {
            throw .missingTensor("\(name) puts tensor \(quoted(tensor)) into \(quoted(file)), which does not hold it.")
        }
    }
}
