public import TensorCore

/// The text of U-Net calls. It can keep the keys and values that the cross-attention of one network makes of it: they are the
/// same in every step of a picture and in every view.
///
/// Kept numbers belong to this text and to one network object, hence to its weights, LoRA files and precision. A call of
/// another network computes its own. The first call makes them, with the bits that every call would compute.
public final class UNetText {
    /// (rows, tokens, width). Nothing may change them.
    public let vectors: Tensor
    /// The network whose keys and values it keeps. Weak, so that a network made later is never taken for this one.
    private weak var network: UNet?
    /// Keys and values by the index of the transformer block.
    private var kept: [Int: TextKeys] = [:]
    /// Bytes of all keys and values that it keeps, or will keep after the next call.
    public private(set) var keptBytes = 0

    /// Text that keeps nothing.
    public init(_ vectors: Tensor) { self.vectors = vectors }

    /// Whether its network is still there, so that the kept keys and values can be of use.
    public var isUseful: Bool { network != nil }

    /// Keeps the keys and values of this network from its next call on, and forgets those of any other.
    public func keepKeys(for network: UNet) {
        guard self.network !== network else { return }
        forgetKeys()
        guard vectors.shape.count == 3 else { return }
        (self.network, keptBytes) = (network, network.textKeyBytes(rows: vectors.shape[0], tokens: vectors.shape[1]))
    }

    /// Frees the kept keys and values. Calls compute them anew.
    public func forgetKeys() { (network, kept, keptBytes) = (nil, [:], 0) }

    /// Whether it keeps keys and values for calls of this network.
    func keeps(for network: UNet) -> Bool { self.network === network }

    subscript(block: BlockPlace) -> TextKeys? { kept[block.index] }

    /// Keeps a copy outside the memory of activations, which then serves the next blocks.
    func keep(_ keys: TextKeys, for block: BlockPlace, _ context: ComputeContext) {
        kept[block.index] = TextKeys(keys: context.copied(keys.keys), values: context.copied(keys.values))
    }
}

/// The keys and values of one layer of cross-attention, (rows, tokens, channels) each.
struct TextKeys {
    let keys: Tensor
    let values: Tensor
}

extension UNet {
    /// Bytes of the keys and values of a text in all transformer blocks: two numbers for each row, token and channel.
    /// 77 tokens of Stable Diffusion 1.5 have 1,921,920 numbers a row, those of SDXL 12,812,800.
    public func textKeyBytes(rows: Int, tokens: Int) -> Int {
        let channels = transformers.flatMap(\.blocks).reduce(0) { $0 + $1.textKeyChannels }
        return 2 * rows * tokens * channels * context.precision.byteCount
    }
}

extension UNetCall {
    /// The text's keys and values in a block, kept or computed now. Both count alike.
    func textKeys(_ layer: AttentionLayer, at place: BlockPlace) throws(ComputeError) -> TextKeys {
        if let known = keeper?[place] {
            context.sharing(by: images / text.shape[0]) {
                layer.countKeys(tokens: known.keys.shape[0] * known.keys.shape[1], context)
            }
            return known
        }
        let made = try context.sharing(by: images / text.shape[0]) { () throws(ComputeError) in
            try layer.keysAndValues(of: text, context)
        }
        keeper?.keep(made, for: place, context)
        return made
    }
}
