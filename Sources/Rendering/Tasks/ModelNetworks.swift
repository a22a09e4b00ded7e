package import DiffusionModels
import Sentences
import TensorCore
import Weights

/// The networks of one model. Each is built when a task first needs it.
///
/// Only one of them is mapped from a file of packed weights at a time: a task of another kind gives it back, and so does a
/// worker that rests, or hears of a latent to decode; mapping it again costs little. A variant with LoRA files counts for
/// itself, so two variants may have a network each. Networks in this process's own memory stay, because building them again
/// takes seconds.
package final class ModelNetworks {
    let source: ModelSource
    let context: ComputeContext
    package let parts: ModelParts
    /// The same model without LoRA files. Its networks serve where these files change nothing.
    private let base: ModelNetworks?
    private let packed: PackedWeights?
    /// Whether a rehearsal takes large networks for mapped from files.
    private let rehearsesFiles: Bool
    /// The same for all models of a worker: its limit holds for them together.
    let textKeys: TextKeyShelf
    private var isChecked = false
    private var builtUNet: Built<UNet>?
    private var builtDecoder: Built<VAEDecoder>?
    private var builtEncoder: Built<VAEEncoder>?
    /// The text encoders by their index in the model.
    private var builtTextEncoders: [Int: Built<CLIPTextModel>] = [:]

    private struct Built<Network> {
        let network: Network
        /// Whether its weights are in a mapped file.
        let isMapped: Bool
        /// Bytes of its weights; known in a rehearsal only.
        var weightBytes = 0
    }

    /// A network by its component and by its name among the packed weights.
    private enum Part: Equatable {
        case unet, decoder, encoder
        case text(Int)

        var component: String {
            switch self {
            case .unet: "unet"
            case .decoder, .encoder: "vae"
            case .text(let index): ModelFamily.textEncoders[index]
            }
        }

        var name: String {
            switch self {
            case .unet, .text: component
            case .decoder: "vae-decoder"
            case .encoder: "vae-encoder"
            }
        }
    }

    init(
        _ source: ModelSource, _ context: ComputeContext, packed: PackedWeights? = nil, rehearsesFiles: Bool = false,
        textKeys: TextKeyShelf
    ) throws(RenderError) {
        (self.source, self.context, base, self.textKeys) = (source, context, nil, textKeys)
        self.rehearsesFiles = rehearsesFiles
        // The model inside the program is small, and needs no folder.
        self.packed = source.isEmbedded ? nil : packed
        parts = try ModelParts(source)
    }

    /// - Parameter source: the base's source with LoRA files merged into it.
    init(_ source: ModelSource, over base: ModelNetworks) {
        (self.source, self.base, context, parts, packed) = (source, base, base.context, base.parts, base.packed)
        (textKeys, rehearsesFiles) = (base.textKeys, base.rehearsesFiles)
    }

    /// Frees the networks that LoRA files can change, except the named components. They are built again when needed.
    func forgetMergeable(except kept: Set<String>) {
        if !kept.contains("unet") { builtUNet = nil }
        builtTextEncoders = builtTextEncoders.filter { kept.contains(ModelFamily.textEncoders[$0.key]) }
    }

    /// Whether it holds a U-Net of its own. For tests.
    var hasBuiltUNet: Bool { builtUNet != nil }
    /// Bytes of the weights of its own networks, in a rehearsal.
    var weightBytes: Int {
        let others = [builtUNet?.weightBytes, builtDecoder?.weightBytes, builtEncoder?.weightBytes]
        return others.reduce(builtTextEncoders.values.reduce(0) { $0 + $1.weightBytes }) { $0 + ($1 ?? 0) }
    }
    /// The number of its own networks that are mapped from files. For tests.
    var mappedCount: Int {
        let others = [builtUNet?.isMapped, builtDecoder?.isMapped, builtEncoder?.isMapped]
        return (others + builtTextEncoders.values.map(\.isMapped)).count { $0 == true }
    }

    /// Refuses a model with networks that cannot be built. Reads no weights.
    func check() throws(RenderError) {
        if let base { return try base.check() }
        guard !isChecked else { return }
        _ = try ModelCheck(source, parts)
        isChecked = true
    }

    package func unet() throws(RenderError) -> UNet {
        try network(.unet, in: \.builtUNet) { try UNet($0, configuration: parts.unet, context: context) }
    }

    package func decoder() throws(RenderError) -> VAEDecoder {
        try network(.decoder, in: \.builtDecoder) { try VAEDecoder($0, configuration: parts.vae, context: context) }
    }

    package func encoder() throws(RenderError) -> VAEEncoder {
        try network(.encoder, in: \.builtEncoder) { try VAEEncoder($0, configuration: parts.vae, context: context) }
    }

    /// - Parameter index: among the model's text encoders.
    package func textEncoder(_ index: Int) throws(RenderError) -> CLIPTextModel {
        try network(.text(index), in: \.builtTextEncoders[index]) {
            try CLIPTextModel($0, configuration: parts.texts[index], context: context)
        }
    }

    /// The base's network if the LoRA files do not change the component, else its own.
    private func network<Network>(
        _ part: Part, in place: ReferenceWritableKeyPath<ModelNetworks, Built<Network>?>,
        build: (WeightScope) throws -> Network
    ) throws(RenderError) -> Network {
        giveBackMapped(except: part)
        textKeys.clear()
        if let base, !source.changedComponents.contains(part.component) {
            return try base.network(part, in: place, build: build)
        }
        if let built = self[keyPath: place] { return built.network }
        let built = try RenderError.model(source) { try self.build(part, build) }
        self[keyPath: place] = built
        return built.network
    }

    private func build<Network>(_ part: Part, _ build: (WeightScope) throws -> Network) throws -> Built<Network> {
        let type = if case .text = part { CLIPTextModel.precision } else { context.precision }
        if context.rehearses {
            let (network, bytes, isKept) = try source.weights(component: part.component).measured(of: type, build)
            return Built(network: network, isMapped: rehearsesFiles && !source.isEmbedded && isKept, weightBytes: bytes)
        }
        guard let packed else {
            return Built(network: try build(source.weights(component: part.component)), isMapped: false)
        }
        let key = PackedKey(
            model: try source.identity(), network: part.name, precision: "\(type)", library: context.packingClass)
        let (network, isMapped) = try packed.network(
            key, of: type, weights: { try source.weights(component: part.component) },
            waiting: { context.whenAdvancing?() }, hasChanged: { try source.hasChanged() }, build: build)
        return Built(network: network, isMapped: isMapped)
    }

    /// Unmaps all networks. The next task maps its own again.
    func giveBackMapped() {
        giveBackMapped(except: nil)
        textKeys.clear()
    }

    /// Unmaps the U-Net.
    func giveBackUNet() {
        guard builtUNet?.isMapped == true else { base?.giveBackUNet(); return }
        builtUNet = nil
        textKeys.clear()
    }

    /// Unmaps the other networks, or all of them.
    private func giveBackMapped(except part: Part?) {
        if part != .unet, builtUNet?.isMapped == true { builtUNet = nil }
        if part != .decoder, builtDecoder?.isMapped == true { builtDecoder = nil }
        if part != .encoder, builtEncoder?.isMapped == true { builtEncoder = nil }
        builtTextEncoders = builtTextEncoders.filter { part == .text($0.key) || !$0.value.isMapped }
        base?.giveBackMapped(except: part)
    }

    /// A latent in the U-Net's scale, for the decoder.
    func tiledLatent(_ latent: Latent, tileHeight: Int, tileWidth: Int) throws(RenderError) -> TiledImage {
        guard latent.channels == parts.vae.latentChannels else {
            throw .malformed(
                "A job's latent has \(latent.channels) channels, but the autoencoder of \(source.name) takes "
                    + "\(parts.vae.latentChannels).")
        }
        let values = parts.vae.decoderInput(latent.values, height: latent.height, width: latent.width)
        return TiledImage(
            Tensor(planar: values, n: 1, c: latent.channels, h: latent.height, w: latent.width),
            grid: TileGrid(
                height: latent.height, width: latent.width, tileHeight: tileHeight, tileWidth: tileWidth))
    }

    /// Refuses moments that are not of the decoder's norms.
    func check(_ moments: [GroupMoments]) throws(RenderError) {
        let (groups, norms) = (parts.vae.normGroups, parts.vae.decodeSectionCount - 1)
        guard moments.count <= norms, moments.allSatisfy({ $0.means.count == groups }) else {
            throw .malformed(
                "A job's moments are of \(moments.count) norms with \(moments.first?.means.count ?? 0) groups, but the decoder of "
                    + "\(source.name) has \(norms) norms with \(groups) groups.")
        }
    }

    /// Refuses conditioning that the U-Net cannot take.
    func check(_ conditioning: JobContext.Conditioning) throws(RenderError) {
        guard conditioning.width == parts.unet.textWidth else {
            throw .malformed(
                "A job's conditioning has the width \(conditioning.width), but the U-Net of \(source.name) takes "
                    + "\(parts.unet.textWidth).")
        }
        let pooledWidth = parts.unet.added?.textWidth ?? 0
        guard conditioning.pooled.count == conditioning.rows * pooledWidth else {
            throw .malformed(
                "A job's conditioning has \(conditioning.pooled.count) pooled numbers, but the U-Net of \(source.name) takes "
                    + "\(pooledWidth) a row.")
        }
    }
}
