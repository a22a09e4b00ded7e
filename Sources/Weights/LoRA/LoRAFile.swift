public import ContentHash
import Sentences
import TensorCore

/// One layer's change: `alpha / rank · up · down`, added to the layer's weight.
struct LoRALayer: Sendable {
    let network: LoRANetwork
    /// The path with `_` for `.`, as kohya writes it.
    let layer: String
    /// Names of the tensors.
    let up: String
    let down: String
    let mid: String?
    /// The factor of the product: alpha / rank, 1 without an alpha.
    let factor: Double
    let rank: Int
}

/// A LoRA file (Hu et al. 2021, arXiv 2106.09685), linear and convolutional layers, LoCon's `lora_mid` included: mapped, its
/// names understood, its pairs complete. The model that it fits comes out when it is applied.
public struct LoRAFile: Sendable {
    /// The file in messages: its path.
    public let name: String
    /// SHA-256 of the file.
    public let digest: SHA256Digest
    let file: SafetensorsFile
    private let scales: WeightScales
    private let content: FileBytes
    /// Whether the file is another one than when it was opened.
    var hasChanged: Bool { content.hasChanged }
    /// The layers, sorted by network and layer.
    let layers: [LoRALayer]
    /// Names that begin like layers of the model and are not understood, sorted.
    let unknown: [String]
    /// Names that say nothing of the model, such as counters of a trainer and empty tensors, sorted.
    let leftovers: [String]

    /// Maps, hashes and checks the file at `path`. `digests` may know its hash.
    ///
    /// Throws the errors of `SafetensorsFile`; `.unsupportedFormat` for other kinds of adapters and other families of models,
    /// by name; `.malformed` for files without names of a LoRA, halves of pairs, ranks of 0 and alphas that are no numbers.
    public init(path: String, digests: DigestMemory? = nil) throws(WeightsError) {
        guard !isFolder(path) else {
            throw .unreadable(
                "\(path) is a folder, and a LoRA is a .safetensors file; name the file, or the folder by \(.loraModelDir) and the "
                    + "file in it by its name.")
        }
        let content: FileBytes
        do { content = try FileBytes(mapping: path, digests: digests) } catch {
            guard error.code == .notFound, FileBytes.brokenLink(path) == nil else { throw error }
            let whole = path + LoRALibrary.ending
            throw .notFound(
                fileExists(whole)
                    ? "\(path) does not exist; did you mean \(quoted(whole))?"
                    : "\(path) does not exist; check the path or the name of the LoRA file.")
        }
        try self.init(content: content, name: path)
    }

    /// Checks a file whose bytes live as long as the program.
    public init(permanent bytes: UnsafeRawBufferPointer, name: String) throws(WeightsError) {
        try self.init(content: FileBytes(permanent: bytes), name: name)
    }

    private init(content: FileBytes, name: String) throws(WeightsError) {
        let file = try SafetensorsFile(content: content, name: name)
        (self.name, self.content, self.file) = (name, content, file)
        digest = content.digest()
        let reader = try LoRAReader(file)
        (layers, unknown, leftovers, scales) = (reader.layers, reader.unknown, reader.leftovers, reader.scales)
    }

    /// A part of a layer as f32, times the scale that stands beside it in files of eight bits.
    func tensor(_ key: String) throws(WeightsError) -> Tensor { try file.tensor(key, scale: scales.scale(of: key)) }

    /// SHA-256 of the tensors' bytes, without the head. A1111's web UI tells LoRA files apart by it, because editors change the
    /// metadata in the head.
    public func dataDigest() -> SHA256Digest {
        content.tensorsDigest(from: file.tensors.values.map(\.byteRange.lowerBound).min() ?? content.bytes.count)
    }
}

/// Puts the tensors of a LoRA file together into layers.
private struct LoRAReader {
    /// Names of the tensors of one layer.
    private typealias Parts = [LoRAKey.Role: String]

    private struct Place: Hashable {
        let network: LoRANetwork
        let layer: String

        var name: (String, String) { (network.rawValue, layer) }
    }

    let file: SafetensorsFile
    private let adapters: LoRAMetadata
    let scales: WeightScales
    private(set) var layers: [LoRALayer] = []
    private(set) var unknown: [String] = []
    private(set) var leftovers: [String] = []

    init(_ file: SafetensorsFile) throws(WeightsError) {
        self.file = file
        adapters = try LoRAMetadata(file)
        scales = try WeightScales(file, isPart: LoRAKey.belongsToModel)
        layers = try read()
    }

    private mutating func read() throws(WeightsError) -> [LoRALayer] {
        let names = file.tensors.keys.sorted()
        for name in names { if let refusal = LoRAKind.refusal(of: name, in: file.name) { throw refusal } }
        var places: [Place: Parts] = [:]
        var adapter: (name: String, key: String)?
        for name in names where !scales.handled.contains(name) {
            guard let key = LoRAKey(name) else {
                let isStray = isEmpty(name) || LoRAKey.isHarmless(name) || !LoRAKey.belongsToModel(name)
                if isStray { leftovers.append(name) } else { unknown.append(name) }
                continue
            }
            if let own = key.adapter {
                guard own == adapter?.name ?? own else {
                    throw malformed("\(quoted(adapter?.key ?? "")) and \(quoted(name)) are parts of two adapters")
                }
                adapter = (own, name)
            }
            let place = Place(network: key.network, layer: key.layer)
            if let other = places[place, default: [:]].updateValue(name, forKey: key.role) {
                throw malformed("\(quoted(other)) and \(quoted(name)) are the same part of one layer")
            }
        }
        for (place, parts) in places where isEmpty(parts) {
            places[place] = nil
            leftovers += parts.values
        }
        leftovers.sort()
        guard !places.isEmpty else {
            let others = unknown + leftovers
            guard let first = others.first(where: { !isEmpty($0) }) else {
                throw malformed(others.isEmpty ? "it holds no tensors" : "all its tensors are empty")
            }
            let more = others.count > 1 ? " and \(others.count - 1) more" : ""
            throw .malformed("\(file.name) is no LoRA: the name \(quoted(first))\(more) is none that LoRA files have.")
        }
        return try places.sorted { $0.key.name < $1.key.name }.map { place, parts throws(WeightsError) in
            try layer(place, parts)
        }
    }

    private func isEmpty(_ name: String) -> Bool { file.tensors[name]?.count == 0 }

    /// Whether no factor of a layer holds a number. If one factor does, all must.
    private func isEmpty(_ parts: Parts) -> Bool {
        let factors = parts.filter { $0.key != .alpha }.values
        return !factors.isEmpty && factors.allSatisfy(isEmpty)
    }

    private func layer(_ place: Place, _ parts: Parts) throws(WeightsError) -> LoRALayer {
        guard let up = parts[.up], let down = parts[.down] else {
            let missing = parts[.up] == nil ? "up" : "down"
            throw malformed("\(quoted(parts.values.min() ?? place.layer)) has no lora_\(missing) beside it")
        }
        for key in parts.values.sorted() {
            if let scale = scales.scale(of: key) { _ = try WeightScales.value(scale, of: key, in: file) }
        }
        if let empty = parts.values.filter(isEmpty).min() { throw malformed("\(quoted(empty)) is empty") }
        guard let rank = file.tensors[down]?.shape.first else { throw malformed("\(quoted(down)) has no rank") }
        let factor: Double
        if let name = parts[.alpha] {
            factor = try alpha(name) / Double(rank)
        } else {
            factor = adapters.factor(place.network, layer: place.layer, rank: rank)
        }
        guard factor.isFinite else { throw malformed("the alpha of \(quoted(down)) is not a finite number") }
        return LoRALayer(
            network: place.network, layer: place.layer, up: up, down: down, mid: parts[.mid], factor: factor, rank: rank)
    }

    /// One number, of any type and with any number of dimensions of one.
    private func alpha(_ name: String) throws(WeightsError) -> Double {
        guard let stored = file.tensors[name], stored.count == 1 else {
            throw malformed("\(quoted(name)) is not one number")
        }
        let value =
            stored.elementType.isFloatingPoint ? Double(try file.tensor(name).array[0]) : Double(try file.integers(name)[0])
        guard value.isFinite else { throw malformed("\(quoted(name)) is not a finite number") }
        return value
    }

    private func malformed(_ what: String) -> WeightsError {
        WeightsError.malformed("\(file.name) is not usable as a LoRA: \(what); download it again or ask its author.")
    }
}
