import Acceleration
import PatchGeometry
import Samplers
public import StrictJSON

extension RenderRequest {
    /// The request as it travels: one object, and the pixels of the source picture where there is one.
    public func encoded() -> (metadata: JSONValue, payload: [UInt8]) { (json, source?.payload ?? []) }

    /// The request as one object, with absent keys where a value is nil. Of the source picture it says size and hash only.
    public var json: JSONValue {
        var object = JSONObject()
        object["prompt"] = .string(prompt)
        object["negative_prompt"] = .string(negativePrompt)
        object["width"] = .integer(Int64(width))
        object["height"] = .integer(Int64(height))
        object["steps"] = steps.map { .integer(Int64($0)) }
        object["cfg_scale"] = guidanceScale.map { .number(Double($0)) }
        object["detail_cfg_scale"] = detailGuidanceScale.map { .number(Double($0)) }
        object["guidance_rescale"] = .number(Double(guidanceRescale))
        object["clip_skip"] = clipSkip.map { .integer(Int64($0)) }
        object["original_size"] = originalSize?.json
        object["crop_top_left"] = cropTopLeft?.json
        object["target_size"] = targetSize?.json
        // A string: a seed may need all 64 bits.
        object["seed"] = .string(String(seed))
        object["method"] = .string(method.rawValue)
        object["hidiffusion"] = .string(hiDiffusion.rawValue)
        object["hidiffusion_family"] = hiDiffusionFamily.map { .string($0.rawValue) }
        object["patch"] = patch.map { .integer(Int64($0)) }
        object["stride"] = stride.map { .integer(Int64($0)) }
        object["jitter"] = jitter.map { .integer(Int64($0)) }
        object["blend"] = blending.map { .string($0.rawValue) }
        object["structure"] = structure.map { .string($0.rawValue) }
        object["stages"] = stages.map { .array($0.map { .number($0) }) }
        object["refinement"] = refinement == RefinementSettings() ? nil : refinement.json
        object["hidiffusion_settings"] = hiDiffusionSettings == .published ? nil : hiDiffusionSettings.json
        object["structure_fraction"] = structureFraction.map { .string($0.description) }
        object["sampling_method"] = samplingMethod.map { .string($0.rawValue) }
        object["scheduler"] = noiseSchedule == .automatic ? nil : .string(noiseSchedule.rawValue)
        object["eta"] = eta.map { .number(Double($0)) }
        object["source"] = source?.json
        object["strength"] = strength.map { .number(Double($0)) }
        if !loras.isEmpty { object["lora"] = .array(loras.map(\.json)) }
        object["token_reduction"] = tokenReduction?.json
        return .object(object)
    }

    private static let keys: Set<String> = [
        "prompt", "negative_prompt", "width", "height", "steps", "cfg_scale", "detail_cfg_scale", "guidance_rescale",
        "clip_skip", "original_size", "crop_top_left", "target_size", "seed", "method", "hidiffusion", "hidiffusion_family",
        "patch", "stride", "structure_fraction", "sampling_method", "scheduler", "eta", "source", "strength", "lora",
        "jitter", "blend", "structure", "stages", "refinement", "hidiffusion_settings", "token_reduction",
    ]

    /// Reads a request without a source picture and checks it as `validated()` does. Throws `.invalidRequest`, also for keys it
    /// does not know.
    public init(json: JSONValue) throws(RenderError) { try self.init(metadata: json, payload: []) }

    /// Reads a request as `encoded()` writes it and checks it as `validated()` does. Throws `.invalidRequest`, also for keys it
    /// does not know.
    public init(metadata json: JSONValue, payload: [UInt8]) throws(RenderError) {
        self.init()
        guard let object = json.objectValue else {
            throw RenderError(.invalidRequest, "A request must be a JSON object, not \(json.kindName).")
        }
        if let unknown = object.keys.first(where: { !Self.keys.contains($0) }) {
            throw RenderError(.invalidRequest, "A request has no setting \"\(unknown.prefix(60))\".")
        }
        let fields = RequestFields(object: object)
        prompt = try fields.value("prompt", "a string", \.stringValue) ?? prompt
        negativePrompt = try fields.value("negative_prompt", "a string", \.stringValue) ?? negativePrompt
        width = try fields.value("width", "a whole number", \.intValue) ?? width
        height = try fields.value("height", "a whole number", \.intValue) ?? height
        steps = try fields.value("steps", "a whole number", \.intValue)
        guidanceScale = try fields.value("cfg_scale", "a number", \.doubleValue).map { Float($0) }
        try readGuidanceAndText(fields)
        seed = try fields.value("seed", "a whole number in a string") { $0.stringValue.flatMap { UInt64($0) } } ?? seed
        method = try fields.choice("method") ?? method
        hiDiffusion = try fields.choice("hidiffusion") ?? hiDiffusion
        hiDiffusionFamily = try fields.choice("hidiffusion_family")
        try readLayout(fields)
        patch = try fields.value("patch", "a whole number", \.intValue)
        stride = try fields.value("stride", "a whole number", \.intValue)
        structureFraction = try fields.value("structure_fraction", "a decimal fraction in a string") {
            $0.stringValue.flatMap { StructureFraction($0) }
        }
        try readSampler(fields)
        source = try fields.source(payload)
        strength = try fields.value("strength", "a number", \.doubleValue).map { Float($0) }
        loras =
            try fields.value("lora", "a list of objects with \"name\" and \"scale\"") { value -> [LoRASelection]? in
                guard let list = value.arrayValue, list.count <= LoRASelection.countLimit else { return nil }
                let selections = list.compactMap { LoRASelection(json: $0) }
                return selections.count == list.count ? selections : nil
            } ?? loras
        tokenReduction = try fields.value("token_reduction", "an object of known settings of merging and downsampling") {
            TokenReductionRequest(json: $0)
        }
        try validated()
    }
}

extension RenderRequest {
    private mutating func readLayout(_ fields: RequestFields) throws(RenderError) {
        jitter = try fields.value("jitter", "a whole number", \.intValue)
        blending = try fields.choice("blend")
        structure = try fields.choice("structure")
        stages = try fields.value("stages", "a list of numbers") { value -> [Double]? in
            guard let list = value.arrayValue, list.count <= Self.stageLimit else { return nil }
            let numbers = list.compactMap(\.doubleValue)
            return numbers.count == list.count ? numbers : nil
        }
        refinement =
            try fields.value("refinement", RefinementSettings.shape) { RefinementSettings(json: $0) } ?? refinement
        hiDiffusionSettings =
            try fields.value("hidiffusion_settings", HiDiffusionSettings.shape) { HiDiffusionSettings(json: $0) }
            ?? hiDiffusionSettings
    }

    private mutating func readSampler(_ fields: RequestFields) throws(RenderError) {
        let methods = SamplingMethod.allCases.map(\.rawValue).joined(separator: ", ")
        samplingMethod = try fields.value("sampling_method", "one of \(methods)") {
            $0.stringValue.flatMap { SamplingMethod(rawValue: $0) }
        }
        let schedules = NoiseScheduleKind.allCases.map(\.rawValue).joined(separator: ", ")
        noiseSchedule =
            try fields.value("scheduler", "one of \(schedules)") {
                $0.stringValue.flatMap { NoiseScheduleKind(rawValue: $0) }
            } ?? noiseSchedule
        eta = try fields.value("eta", "a number", \.doubleValue).map { Float($0) }
    }

    private mutating func readGuidanceAndText(_ fields: RequestFields) throws(RenderError) {
        detailGuidanceScale = try fields.value("detail_cfg_scale", "a number", \.doubleValue).map { Float($0) }
        guidanceRescale =
            try fields.value("guidance_rescale", "a number", \.doubleValue).map { Float($0) } ?? guidanceRescale
        clipSkip = try fields.value("clip_skip", "a whole number", \.intValue)
        let size = "an object of width and height"
        originalSize = try fields.value("original_size", size) { SizeConditioning.Size(json: $0) }
        cropTopLeft = try fields.value("crop_top_left", "an object of top and left") { SizeConditioning.Corner(json: $0) }
        targetSize = try fields.value("target_size", size) { SizeConditioning.Size(json: $0) }
    }
}

extension SizeConditioning.Size {
    var json: JSONValue { ["width": .integer(Int64(width)), "height": .integer(Int64(height))] }

    fileprivate init?(json: JSONValue) {
        guard let (width, height) = json.integers("width", "height") else { return nil }
        self.init(width: width, height: height)
    }
}

extension SizeConditioning.Corner {
    var json: JSONValue { ["top": .integer(Int64(top)), "left": .integer(Int64(left))] }

    fileprivate init?(json: JSONValue) {
        guard let (top, left) = json.integers("top", "left") else { return nil }
        self.init(top: top, left: left)
    }
}

extension JSONValue {
    /// The two whole numbers that an object consists of.
    fileprivate func integers(_ first: String, _ second: String) -> (Int, Int)? {
        guard objectValue?.keys.count == 2, let a = self[first]?.intValue, let b = self[second]?.intValue else { return nil }
        return (a, b)
    }
}

/// Typed access to the members of a request.
private struct RequestFields {
    let object: JSONObject

    /// The member `key` as `read` gives it; nil when it is absent.
    func value<T>(_ key: String, _ kind: String, _ read: (JSONValue) -> T?) throws(RenderError) -> T? {
        guard let value = object[key] else { return nil }
        guard let result = read(value) else { throw RenderError(.invalidRequest, "The request's \"\(key)\" must be \(kind).") }
        return result
    }

    /// A word of a closed set; nil when it is absent.
    func choice<Choice: RawRepresentable<String> & CaseIterable>(_ key: String) throws(RenderError) -> Choice? {
        let words = Choice.allCases.map(\.rawValue).joined(separator: ", ")
        return try value(key, "one of \(words)") { $0.stringValue.flatMap { Choice(rawValue: $0) } }
    }

    func source(_ payload: [UInt8]) throws(RenderError) -> SourcePicture? {
        guard let json = object["source"] else {
            guard payload.isEmpty else {
                throw RenderError(.invalidRequest, "A picture came with the request, which has no \"source\".")
            }
            return nil
        }
        return try SourcePicture(json: json, payload: payload)
    }
}
