/// The strength of a LoRA file: one factor for its change of the U-Net, one for its change of the text encoders. 1 is as
/// trained, 0 changes nothing, negative numbers do the opposite.
public struct LoRAScale: Sendable, Hashable {
    public var unet: Double
    public var textEncoder: Double

    public init(unet: Double, textEncoder: Double) { (self.unet, self.textEncoder) = (unet, textEncoder) }

    /// The same number for all networks.
    public init(_ both: Double) { self.init(unet: both, textEncoder: both) }

    /// The number, if it is the same for all networks. Identities, messages and pictures hold one number then.
    public var single: Double? { unet.bitPattern == textEncoder.bitPattern ? unet : nil }

    /// Both, the U-Net's first.
    public var numbers: [Double] { [unet, textEncoder] }

    /// The form in a tag or after a file's name: one number, or the text encoder's, a colon, and the U-Net's, as in A1111's
    /// web UI. `text` writes a number.
    public func written(_ text: (Double) -> String) -> String {
        single.map(text) ?? "\(text(textEncoder)):\(text(unet))"
    }

    func number(for network: LoRANetwork) -> Double {
        switch network {
        case .unet: unet
        case .textEncoder, .textEncoder2: textEncoder
        }
    }
}

extension LoRAScale: ExpressibleByFloatLiteral, ExpressibleByIntegerLiteral {
    public init(floatLiteral value: Double) { self.init(value) }
    public init(integerLiteral value: Int) { self.init(Double(value)) }
}
