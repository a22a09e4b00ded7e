/// How strongly a LoRA file counts: what its change of the U-Net is multiplied by, and that of the text encoders, both of
/// SDXL's alike. 1 is as it was trained, 0 nothing, negative the opposite.
public struct LoRAScale: Sendable, Hashable {
    public var unet: Double
    public var textEncoder: Double

    public init(unet: Double, textEncoder: Double) { (self.unet, self.textEncoder) = (unet, textEncoder) }

    /// The same number for all networks.
    public init(_ both: Double) { self.init(unet: both, textEncoder: both) }

    /// The number where it is one for all networks; nil where there are two. What has one is written as it always was: in
    /// identities, on the wire and in pictures.
    public var single: Double? { unet.bitPattern == textEncoder.bitPattern ? unet : nil }

    /// Both, the U-Net's first.
    public var numbers: [Double] { [unet, textEncoder] }

    /// As it stands in a tag or after a file's name: one number, or the text encoder's, a colon, and the U-Net's. That is the
    /// order of A1111's web UI, whose tag has the text encoder's first.
    ///
    /// - Parameter text: a number as text.
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
