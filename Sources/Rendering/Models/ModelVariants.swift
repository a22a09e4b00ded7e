import ContentHash
import Sentences
import TensorCore
import Weights

/// A worker's models, plain and with LoRA files merged into them.
///
/// It keeps at most `limit` variants of each model; the plain model counts too. It frees the variant that was unused for
/// longest and builds it again when needed. So two jobs with different LoRA files can take turns, and a worker never holds more
/// than two copies of a U-Net's weights for one model. Components that the LoRA files do not change, such as the autoencoder,
/// belong to the plain model, which keeps them while a variant uses them.
final class ModelVariants {
    /// A model and the LoRA files merged into it, in order.
    struct Key: Hashable {
        let model: SHA256Digest
        let loras: [JobContext.LoRA]
    }

    static let limit = 2

    /// Identities of the models, in the order given.
    let identities: [SHA256Digest]
    private let context: ComputeContext
    private let library: LoRALibrary
    /// The texts of all variants.
    let textKeys = TextKeyShelf()
    private let plain: [SHA256Digest: ModelNetworks]
    private var merged: [Key: ModelNetworks] = [:]
    /// Variants that may hold networks; the last was used last.
    private var recent: [Key] = []

    /// Computes the models' identities from all their files.
    init(
        _ models: [ModelSource], library: LoRALibrary, context: ComputeContext, packed: PackedWeights? = nil,
        rehearsesFiles: Bool = false
    ) throws(RenderError) {
        var identities: [SHA256Digest] = []
        var plain: [SHA256Digest: ModelNetworks] = [:]
        for source in models {
            let identity = try RenderError.model(source) { try source.identity() }
            if plain[identity] == nil {
                identities.append(identity)
                plain[identity] = try ModelNetworks(
                    source, context, packed: packed, rehearsesFiles: rehearsesFiles, textKeys: textKeys)
            }
        }
        (self.identities, self.plain, self.library, self.context) = (identities, plain, library, context)
    }

    /// The networks of a variant. This builds none.
    ///
    /// - Throws: `.badModel` for a missing model or a file that does not fit it, `.notFound` for a missing LoRA file; each with
    ///   the hash and the remedy.
    func networks(_ key: Key) throws(RenderError) -> ModelNetworks {
        guard let base = plain[key.model] else {
            throw .badModel(
                "This worker has no model \(key.model.hex): start it with the folder of that model (\(.briefModel)).")
        }
        let networks: ModelNetworks
        if key.loras.isEmpty {
            networks = base
        } else if let known = merged[key] {
            networks = known
        } else {
            networks = try merge(key, base)
            merged[key] = networks
        }
        recent.removeAll { $0 == key }
        recent.append(key)
        forgetOldest(of: key.model)
        return networks
    }

    /// Bytes of the weights of all networks that are there, in a rehearsal.
    var weightBytes: Int {
        plain.values.reduce(0) { $0 + $1.weightBytes } + merged.values.reduce(0) { $0 + $1.weightBytes }
    }

    /// Unmaps all networks that are mapped from files.
    func giveBackMapped() {
        for networks in plain.values { networks.giveBackMapped() }
        for networks in merged.values { networks.giveBackMapped() }
    }

    private func merge(_ key: Key, _ base: ModelNetworks) throws(RenderError) -> ModelNetworks {
        let source = try RenderError.model(base.source) {
            try base.source.applying(
                key.loras.map { LoRAUse(try library.file(digest: $0.sha256), scale: $0.scale) }, threads: context.threads)
        }
        return ModelNetworks(source, over: base)
    }

    private func forgetOldest(of model: SHA256Digest) {
        let variants = recent.filter { $0.model == model }
        for key in variants.dropLast(Self.limit) {
            recent.removeAll { $0 == key }
            merged[key] = nil
        }
        plain[model]?.forgetMergeable(except: componentsInUse(of: model))
    }

    /// Components of the plain model that its kept variants use. The plain model is a variant too.
    private func componentsInUse(of model: SHA256Digest) -> Set<String> {
        let mergeable = Set(["unet"] + ModelFamily.textEncoders)
        var used: Set<String> = []
        for key in recent where key.model == model {
            used.formUnion(key.loras.isEmpty ? mergeable : mergeable.subtracting(merged[key]?.source.changedComponents ?? []))
        }
        return used
    }

    /// The number of a model's U-Nets that are built. For tests.
    func builtUNets(of model: SHA256Digest) -> Int {
        let variants = merged.filter { $0.key.model == model }.map(\.value) + [plain[model]].compactMap(\.self)
        return variants.count(where: \.hasBuiltUNet)
    }
}
