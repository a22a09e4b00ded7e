import ContentHash
import PatchGeometry
import Samplers
public import StrictJSON
import Weights

/// A finished picture.
public struct RenderedImage: Sendable {
    public var pixels: PixelFile
    /// Its settings in the text form of A1111's web UI (keyword `parameters`).
    public var parameters: String
    /// Its complete settings and plan.
    public var details: JSONValue
}

/// The parameters of a picture in the form of A1111's web UI: prompt, negative prompt, and a line of `Key: value` pairs.
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

    /// The user's prompt, and a tag for each LoRA file beside it, so that the text has everything for the web UI. If no tag can
    /// hold a name, only the hashes and the details have it.
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

    var cutPairs: [(String, String)] {
        guard let cut = plan.cut else { return [] }
        let scale = plan.latentScale
        var pairs: [(String, String)] = []
        if plan.passes.contains(where: { $0.structureCalls > 0 }) {
            pairs.append(("Patch", "\(cut.patchWidth * scale)x\(cut.patchHeight * scale)"))
            pairs.append(("Structure steps", String(cut.structureEnd)))
        }
        return pairs + [("View", "\(cut.viewWidth * scale)x\(cut.viewHeight * scale)")]
    }

    /// The web UI's keys for its hires fix. Stages are similar.
    var stagePairs: [(String, String)] {
        guard let last = plan.passes.last, case .enlarged(let upscaler, let strength) = last.start else { return [] }
        let factor = Double(plan.latentWidth) / Double(plan.passes[0].latentWidth)
        // The web UI makes all "Hires steps", but our strength takes a share of the steps. So the number is that share.
        var pairs = [
            ("Denoising strength", short(strength)), ("Hires upscale", short((factor * 100).rounded() / 100)),
            ("Hires upscaler", upscaler.label), ("Hires steps", String(last.executedSteps)),
        ]
        if plan.passes.count > 2 {
            let scale = plan.latentScale
            let sizes = plan.passes.map { "\($0.latentWidth * scale)x\($0.latentHeight * scale)" }
            pairs.append(("Stages", sizes.joined(separator: " ")))
        }
        return pairs
    }

    /// The value. It becomes a JSON string if it holds a separator or looks like a quoted value, because readers expect this.
    /// The test looks at bytes, because Swift takes a separator with an accent for another character.
    static func quoted(_ value: String) -> String {
        let first = value.utf8.first
        guard value.utf8.contains(where: { ",:".utf8.contains($0) || $0 < 0x20 }) || first == 0x22 || first == 0x20 else {
            return value
        }
        return String(decoding: JSONValue.string(value).canonicalBytes(), as: UTF8.self)
    }

    /// All parameters, in a form for programs.
    var details: JSONValue {
        [
            "program": "patchloom", "request": request.json, "plan": plan.json,
            "model": [
                "name": .string(model.shortName), "family": .string(model.kind.id), "sha256": .string(model.identity.hex),
            ],
        ]
    }
}

extension ModelDescription {
    /// The last part of the model's path.
    var shortName: String { name.split(separator: "/").last.map(String.init) ?? name }
}

/// A number for parameters. A whole number has no fraction.
func short<Value: BinaryFloatingPoint & LosslessStringConvertible>(_ value: Value) -> String {
    value == value.rounded() && abs(value) < 1e6 ? String(Int(value)) : String(value)
}
