public import ContentHash
import Sentences
import StrictJSON
public import Weights

/// A LoRA file of a request.
public struct LoRASelection: Sendable, Equatable {
    /// The file's name without folder and ending. It finds the file if there is no hash.
    public var name: String
    /// SHA-256 of the file if it is known. Then the name is only for people.
    public var sha256: SHA256Digest?
    public var scale: LoRAScale = 1

    /// The most LoRA files of one picture.
    static let countLimit = 32
    /// The largest scale, positive or negative. People use scales between −2 and 2.
    static let scaleLimit = 100.0
    private static let nameLimit = 1024

    /// Throws `.invalidRequest`.
    ///
    /// - Parameter setting: the setting that gave it: `lora`, or the prompt with its tags.
    func validated(from setting: Setting) throws(RenderError) {
        guard !name.isEmpty, name.utf8.count <= Self.nameLimit, !name.utf8.contains(where: { $0 < 0x20 || $0 == 0x7F }) else {
            throw .invalidRequest(
                "The name of a LoRA must have 1 to \(Self.nameLimit) bytes and no control characters: name a file.",
                about: setting)
        }
        if let wrong = scale.numbers.first(where: { !$0.isFinite || abs($0) > Self.scaleLimit }) {
            throw .invalidRequest(
                "A scale of \(wrong) for the LoRA \(name.prefix(80)) is not possible: choose \(-Int(Self.scaleLimit)) to "
                    + "\(Int(Self.scaleLimit)).", about: setting)
        }
    }
}

extension RenderRequest {
    /// The prompt without tags, for the text encoders.
    func encodedPrompt() throws(RenderError) -> String { try LoRATags(prompt, of: .prompt).text }

    /// All LoRA files of the picture in the order of merging: first `loras`, then the prompt's tags.
    public func selectedLoRAs() throws(RenderError) -> [LoRASelection] {
        let tags = try LoRATags(prompt, of: .prompt).tags.map { LoRASelection(name: $0.name, scale: $0.scale) }
        guard try LoRATags(negativePrompt, of: .negativePrompt).tags.isEmpty else {
            throw .invalidRequest(
                "The negative prompt has a tag <lora:…>, but a LoRA counts for the whole picture: move it into the prompt, "
                    + "with a negative scale to weaken its effect.", about: .negativePrompt)
        }
        let all = loras + tags
        guard all.count <= LoRASelection.countLimit else {
            throw .invalidRequest(
                "\(all.count) LoRA files are too many for one picture: choose at most \(LoRASelection.countLimit).",
                aboutAll: (loras.isEmpty ? [] : [.lora]) + (tags.isEmpty ? [] : [.prompt]))
        }
        for selection in loras { try selection.validated(from: .lora) }
        for tag in tags { try tag.validated(from: .prompt) }
        return all
    }
}

extension LoRAScale {
    /// The members that hold a scale. Programs that know only one scale refuse the second member and read everything else. So
    /// the protocol's version stays.
    static let keys = ["scale", "text_encoder_scale"]

    /// A LoRA file with this scale. The second member is there only if the text encoders have another scale than the U-Net.
    func json(name: String? = nil, sha256: SHA256Digest?) -> JSONValue {
        var object = JSONObject()
        object["name"] = name.map { .string($0) }
        object["sha256"] = sha256.map { .string($0.hex) }
        object[Self.keys[0]] = .number(unet)
        object[Self.keys[1]] = single == nil ? .number(textEncoder) : nil
        return .object(object)
    }

    /// Reads the members. The first must be there.
    init(_ fields: JSONFields<JSONFieldError>) throws(JSONFieldError) {
        let number = JSONShape<Double>(.words("a number"), \.doubleValue)
        let unet = try fields.required(Self.keys[0], number)
        self.init(unet: unet, textEncoder: try fields.optional(Self.keys[1], number) ?? unet)
    }
}

extension LoRASelection {
    var json: JSONValue { scale.json(name: name, sha256: sha256) }

    /// Reads an object with a name, one or two scales and perhaps a hash, and nothing else.
    init(_ fields: JSONFields<JSONFieldError>) throws(JSONFieldError) {
        try fields.only(["name", "sha256"] + LoRAScale.keys)
        self.init(
            name: try fields.required("name", .string()), sha256: try fields.optional("sha256", SHA256Digest.shape),
            scale: try LoRAScale(fields))
    }

    /// Reads the form of `json`; nil for anything else.
    init?(json: JSONValue) {
        guard let object = json.objectValue, let selection = try? LoRASelection(JSONFields(object) { $0 }) else { return nil }
        self = selection
    }
}

/// A LoRA file that was found, for the picture's metadata.
public struct AppliedLoRA: Sendable, Equatable {
    /// The file's name without folder and ending.
    public var name: String
    /// SHA-256 of the file.
    public var sha256: SHA256Digest
    /// The first digits of the SHA-256 of its tensors. A1111's web UI tells LoRA files apart by them.
    public var shortHash: String
    public var scale: LoRAScale

    /// The digits in a picture's parameters.
    static let shortHashDigits = 12

    /// The file for people.
    var summary: String {
        let scale = scale.single.map { "\($0)" } ?? "\(scale.unet), text encoder × \(scale.textEncoder)"
        return "LoRA \(name) (\(sha256.hex.prefix(10))) × \(scale)"
    }

    var json: JSONValue { scale.json(name: name, sha256: sha256) }
}

extension ModelDescription {
    /// Finds the LoRA files of a request in the library and checks them against the model.
    ///
    /// - Throws: `.notFound` for a missing file, `.badModel` for a file that does not fit. Both name the file.
    func applying(_ selections: [LoRASelection], from library: LoRALibrary) throws(RenderError) -> ModelDescription {
        guard !selections.isEmpty else { return self }
        var uses: [LoRAUse] = []
        var applied: [AppliedLoRA] = []
        // A file is read and hashed once, however often it is named.
        var opened: [String: (file: LoRAFile, shortHash: String)] = [:]
        for selection in selections {
            let key = selection.sha256?.hex ?? selection.name
            let (file, shortHash) = if let known = opened[key] { known } else { try Self.open(selection, library) }
            opened[key] = (file, shortHash)
            uses.append(LoRAUse(file, scale: selection.scale))
            applied.append(
                AppliedLoRA(
                    name: LoRALibrary.stem(ofPath: selection.name), sha256: file.digest, shortHash: shortHash,
                    scale: selection.scale))
        }
        let composed = try RenderError.model(source) { try source.applying(uses) }
        var model = self
        model.notes += composed.loraNotes
        model.loras = applied
        return model
    }

    /// A name that leads out of the folders or means several files is the request's fault, a damaged file is the file's.
    private static func open(
        _ selection: LoRASelection, _ library: LoRALibrary
    ) throws(RenderError) -> (file: LoRAFile, shortHash: String) {
        do throws(WeightsError) {
            let file =
                if let digest = selection.sha256 { try library.file(digest: digest) } else {
                    try library.file(named: selection.name)
                }
            return (file, String(file.dataDigest().hex.prefix(AppliedLoRA.shortHashDigits)))
        } catch {
            let code: RenderError.Code =
                switch error.code {
                case .notFound: .notFound
                case .badPath, .badOption: .invalidRequest
                default: .badModel
                }
            throw RenderError(code, naming: error.sentence).about(SettingFault(.lora, value: .string(selection.name)))
        }
    }
}

extension JobContext {
    /// The context of a model and its LoRA files.
    init(_ model: ModelDescription, conditioning: Conditioning?) {
        self.init(
            modelIdentity: model.identity, loras: model.loras.map { LoRA(sha256: $0.sha256, scale: $0.scale) },
            conditioning: conditioning)
    }
}

extension JobContext.LoRA {
    /// One element of a context's list of LoRA files.
    static var shape: JSONShape<Self> {
        JSONShape(.words("a LoRA file with its SHA-256 and scale")) { json in
            guard let object = json.objectValue, let loRA = try? Self(JSONFields(object) { $0 }),
                loRA.scale.numbers.allSatisfy({ $0.isFinite && abs($0) <= LoRASelection.scaleLimit })
            else { return nil }
            return loRA
        }
    }

    private init(_ fields: JSONFields<JSONFieldError>) throws(JSONFieldError) {
        try fields.only(["sha256"] + LoRAScale.keys)
        self.init(sha256: try fields.required("sha256", SHA256Digest.shape), scale: try LoRAScale(fields))
    }
}
