import ContentHash
import PatchGeometry
import Samplers
public import StrictJSON
import Weights

/// A finished picture.
public struct RenderedImage: Sendable, Equatable {
    public var width: Int
    public var height: Int
    /// Row-major, three bytes a pixel: red, green, blue.
    public var rgb: [UInt8]
    /// What made it, in the text form that A1111's web UI reads (keyword `parameters`).
    public var parameters: String
    /// What made it, complete.
    public var details: JSONValue
}

/// The text of generation parameters: prompt, negative prompt and a line of `Key: value` pairs, as A1111's web UI writes and
/// reads it.
struct GenerationParameters {
    let request: RenderRequest
    let plan: RenderPlan
    let model: ModelDescription

    var text: String {
        var lines = [promptWithAllTags]
        if !request.negativePrompt.isEmpty { lines.append("Negative prompt: \(request.negativePrompt)") }
        lines.append(pairs.map { "\($0.0): \(Self.quoted($0.1))" }.joined(separator: ", "))
        return lines.joined(separator: "\n")
    }

    /// The prompt as it was written, and a tag for each LoRA file that was asked for beside it: so the text says all that the
    /// web UI needs. A name that no tag can hold is left to the hashes and the details.
    private var promptWithAllTags: String {
        let tags = zip(request.loras, model.loras).compactMap { _, lora -> String? in
            if lora.name.utf8.contains(where: { "<>:".utf8.contains($0) }) { return nil }
            return "<lora:\(lora.name):\(lora.scale.written { short($0) })>"
        }
        return ([request.prompt] + tags).joined(separator: " ")
    }

    private var pairs: [(String, String)] {
        var pairs = RenderRequest.settings.flatMap { $0.parameters(self) }
        if !model.loras.isEmpty {
            pairs.append(("Lora hashes", model.loras.map { "\($0.name): \($0.shortHash)" }.joined(separator: ", ")))
        }
        pairs.append(("Version", "patchloom"))
        return pairs
    }

    var modelPairs: [(String, String)] {
        [("Model hash", String(model.identity.hex.prefix(10))), ("Model", model.shortName)]
    }

    /// How the picture is cut.
    var cutPairs: [(String, String)] {
        guard let cut = plan.cut else { return [] }
        let scale = plan.latentScale
        var pairs: [(String, String)] = []
        if plan.passes.contains(where: { $0.structureCalls > 0 }) {
            pairs.append(("Patch", "\(cut.patchWidth * scale)x\(cut.patchHeight * scale)"))
            pairs.append(("Structure steps", String(cut.structureCalls)))
        }
        return pairs + [("View", "\(cut.viewWidth * scale)x\(cut.viewHeight * scale)")]
    }

    /// What the web UI says of its hires fix, which stages are a kind of.
    var stagePairs: [(String, String)] {
        guard plan.passes.count > 1, case .enlarged(let upscaler, let strength) = plan.passes[plan.passes.count - 1].start
        else {
            return []
        }
        let first = plan.passes[0]
        let factor = Double(plan.latentWidth) / Double(first.latentWidth)
        var pairs = [
            ("Denoising strength", short(strength)), ("Hires upscale", short((factor * 100).rounded() / 100)),
            ("Hires upscaler", upscaler.label),
        ]
        // The web UI makes all the steps that it is told of, where ours are a share: these are those that were made.
        pairs.append(("Hires steps", String(plan.passes[plan.passes.count - 1].executedSteps)))
        if plan.passes.count > 2 {
            let scale = plan.latentScale
            let sizes = plan.passes.map { "\($0.latentWidth * scale)x\($0.latentHeight * scale)" }
            pairs.append(("Stages", sizes.joined(separator: " ")))
        }
        return pairs
    }

    /// Values that hold a separator, or could be taken for a quoted one, are written as JSON strings, as the readers expect.
    /// Bytes are looked at: a separator with an accent on it is one character to Swift, and another one.
    static func quoted(_ value: String) -> String {
        let first = value.utf8.first
        guard value.utf8.contains(where: { ",:".utf8.contains($0) || $0 < 0x20 }) || first == 0x22 || first == 0x20 else {
            return value
        }
        return String(decoding: JSONValue.string(value).canonicalBytes(), as: UTF8.self)
    }

    /// Everything again, for programs.
    var details: JSONValue {
        var object = JSONObject()
        object["program"] = "patchloom"
        object["request"] = request.json
        object["plan"] = plan.json
        object["model"] = .object(
            {
                var model = JSONObject()
                model["name"] = .string(self.model.shortName)
                model["family"] = .string(self.model.kind.id)
                model["sha256"] = .string(self.model.identity.hex)
                return model
            }())
        return .object(object)
    }
}

extension ModelDescription {
    /// The last part of the model's path.
    var shortName: String { name.split(separator: "/").last.map(String.init) ?? name }
}

/// A number as parameters have it: a whole one without a fraction.
func short<Value: BinaryFloatingPoint & LosslessStringConvertible>(_ value: Value) -> String {
    value == value.rounded() && abs(value) < 1e6 ? String(Int(value)) : String(value)
}
