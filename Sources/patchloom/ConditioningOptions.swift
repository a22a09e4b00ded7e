import ArgumentParser
import Rendering

/// How the prompt is read and how strongly it acts, beyond the prompt and the guidance scale themselves.
struct ConditioningOptions: ParsableArguments {
    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Read the text encoder's Nth layer from the end; 1 is the last, 0 and less the model's own.", valueName: "N"))
    var clipSkip: Int?

    @Option(
        parsing: .unconditional,
        help: "How much of the prompt's own contrast a guided picture gets back, 0 to 1 (against burnt colours).")
    var guidanceRescale: Float = 0

    @Option(
        parsing: .unconditional,
        help: "Guidance of views (default: the same as --cfg-scale; of the embedded model, refining a stage, 1).")
    var detailCfgScale: Float?

    @Option(help: ArgumentHelp("SDXL: size of the picture's original (default: the picture's).", valueName: "WxH"))
    var originalSize: String?

    @Option(
        help: ArgumentHelp("SDXL: where the picture's corner lies in the original (default: 0,0).", valueName: "top,left"))
    var cropCoordsTopLeft: String?

    @Option(help: ArgumentHelp("SDXL: size the picture is to have (default: its own).", valueName: "WxH"))
    var targetSize: String?

    /// Puts what was asked for into a request.
    func apply(to request: inout RenderRequest) throws(CommandFailure) {
        request.clipSkip = clipSkip.flatMap { $0 < 1 ? nil : $0 }
        request.guidanceRescale = guidanceRescale
        request.detailGuidanceScale = detailCfgScale
        request.originalSize = try Self.size(originalSize, "original-size")
        request.targetSize = try Self.size(targetSize, "target-size")
        if let cropCoordsTopLeft {
            guard let (top, left) = Self.pair(cropCoordsTopLeft, separator: ",") else {
                throw CommandFailure(
                    .usage, "--crop-coords-top-left must be two numbers such as 0,64 (top,left), not '\(cropCoordsTopLeft)'.")
            }
            request.cropTopLeft = SizeConditioning.Corner(top: top, left: left)
        }
    }

    private static func size(_ text: String?, _ option: String) throws(CommandFailure) -> SizeConditioning.Size? {
        guard let text else { return nil }
        guard let (width, height) = pair(text, separator: "x") else {
            throw CommandFailure(.usage, "--\(option) must be a size such as 1024x768 (width x height), not '\(text)'.")
        }
        return SizeConditioning.Size(width: width, height: height)
    }

    /// Two whole numbers of digits alone.
    private static func pair(_ text: String, separator: Character) -> (Int, Int)? {
        let parts = text.split(separator: separator, omittingEmptySubsequences: false)
        guard parts.count == 2, parts.allSatisfy({ !$0.isEmpty && $0.allSatisfy { ("0"..."9").contains($0) } }),
            let first = Int(parts[0]), let second = Int(parts[1])
        else { return nil }
        return (first, second)
    }
}
