import Rendering

/// How the prompt is read and how strongly it acts, in the words of a user.
public struct ConditioningWords: Sendable {
    /// The text encoder's layer from the end; 0 and less is the model's own.
    public var clipSkip: Int?
    public var guidanceRescale: Float = 0
    public var detailGuidanceScale: Float?
    /// Sizes such as `1024x768`, width first.
    public var originalSize: String?, targetSize: String?
    /// Top and left, such as `0,64`.
    public var cropTopLeft: String?

    /// Nothing said.
    public init() {}

    func apply(to request: inout RenderRequest) throws(RequestError) {
        request.clipSkip = clipSkip.flatMap { $0 < 1 ? nil : $0 }
        request.guidanceRescale = guidanceRescale
        request.detailGuidanceScale = detailGuidanceScale
        request.originalSize = try Self.size(originalSize, .originalSize)
        request.targetSize = try Self.size(targetSize, .targetSize)
        if let cropTopLeft {
            guard let (top, left) = Words.pair(cropTopLeft, separator: ",") else {
                throw RequestError(
                    .invalid, "\(.cropCoordsTopLeft) must be two numbers such as 0,64 (top,left), not '\(cropTopLeft)'.")
            }
            request.cropTopLeft = SizeConditioning.Corner(top: top, left: left)
        }
    }

    private static func size(_ text: String?, _ setting: Setting) throws(RequestError) -> SizeConditioning.Size? {
        guard let text else { return nil }
        guard let (width, height) = Words.pair(text, separator: "x") else {
            throw RequestError(.invalid, "\(setting) must be a size such as 1024x768 (width x height), not '\(text)'.")
        }
        return SizeConditioning.Size(width: width, height: height)
    }
}
