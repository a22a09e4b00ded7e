import Acceleration
import PatchGeometry
import Samplers
import Sentences
import StrictJSON
import Weights

// Rules beyond ranges: of single settings, and of settings together.

extension RenderRequest {
    /// Checks the prompts' syntax and the stride. Throws `.invalidRequest`.
    public func checkTogether() throws(RenderError) {
        try checkSyntax()
        if let patch, let stride, stride > patch {
            throw Self.strideLeavesGaps(stride, patch: patch)
        }
    }

    /// Throws `.invalidRequest` for impossible sides of a picture.
    public static func check(width: Int, height: Int) throws(RenderError) {
        var request = RenderRequest()
        (request.width, request.height) = (width, height)
        for setting in settings where [.width, .height].contains(setting.setting) { try setting.validate(request) }
    }

    /// - Parameters: in pixels.
    static func strideLeavesGaps(_ stride: Int, patch: Int) -> RenderError {
        .invalidRequest(
            "A stride of \(stride) px would leave gaps between patches of \(patch) px: choose a stride of at most \(patch).",
            SettingFault(
                .stride, value: .integer(Int64(stride)),
                possible: .numbers(Double(sideMultiple)...Double(max(patch, sideMultiple)), multiple: sideMultiple)))
    }

    func checkStages() throws(RenderError) {
        guard let stages else { return }
        let isRising = zip(stages, stages.dropFirst()).allSatisfy { $0 < $1 }
        guard stages.count <= Self.stageLimit, isRising, stages.allSatisfy({ $0 >= 1 && $0 <= 256 }) else {
            throw .invalidRequest(
                "Stages of \(stages.map(\.description).joined(separator: ",")) are not possible: give at most "
                    + "\(Self.stageLimit) rising multiples of the native size from 1 on, such as 1,2.", aboutAll: []
            ).about(SettingFault(.stages, value: Self.stageList.write(stages)))
        }
    }

    func checkSource() throws(RenderError) {
        guard let source else {
            guard strength == nil else {
                throw .invalidRequest(
                    "A strength belongs to a picture to start from: give a picture (\(.initImg)) or leave the strength out.",
                    about: .strength)
            }
            return
        }
        guard source.width == width, source.height == height else {
            throw .invalidRequest(
                "The picture to start from has \(source.width)×\(source.height) px, but \(width)×\(height) are asked for: the "
                    + "two sizes must be equal.", about: .width, .height, .initImg)
        }
    }

    static func checkText(_ text: String, _ name: String) throws(RenderError) {
        guard text.utf8.count <= promptLimit else {
            throw .invalidRequest(
                "The \(name) has \(text.utf8.count) bytes: shorten it to at most \(promptLimit).",
                about: setting(name))
        }
        // The text goes into the picture's metadata, which ends at a NUL and cannot hold the other control characters.
        if let control = text.utf8.first(where: { $0 < 0x20 && !"\t\n\r".utf8.contains($0) }) {
            let digits = String(UInt32(control) + 0x10000, radix: 16, uppercase: true).dropFirst()
            throw .invalidRequest("The \(name) holds the control character U+\(digits): take it out.", about: setting(name))
        }
    }
}

// MARK: - Words with a meaning of their own

extension RenderRequest {
    /// A sampler's name may hold the schedule too, as in `DPM++ 2M Karras`.
    mutating func takeSampler(_ word: String) throws(RenderError) {
        do {
            let name = try SamplerName(word)
            (samplingMethod, noiseSchedule) = (name.method, name.noiseSchedule ?? .automatic)
        } catch {
            throw .invalidRequest(Sentence(error.message), aboutAll: [])
        }
    }

    /// Comes after the sampler, whose name may hold a schedule.
    mutating func takeSchedule(_ word: String) throws(RenderError) {
        let kind: NoiseScheduleKind
        do { kind = try NoiseScheduleKind(name: word) } catch { throw .invalidRequest(Sentence(error.message), aboutAll: []) }
        guard noiseSchedule == .automatic || noiseSchedule == kind else {
            throw .invalidRequest(
                "The sampler's name asks for the schedule \(noiseSchedule.rawValue) and \(.scheduler) for \(kind.rawValue): "
                    + "leave one out.", about: .samplingMethod, .scheduler)
        }
        noiseSchedule = kind
    }

    /// `auto` is the profile of the model's kind.
    mutating func takeProfile(_ word: String) throws(RenderError) {
        hiDiffusionProfile = HiDiffusionProfile(rawValue: word)
        guard word != "auto", hiDiffusionProfile == nil else { return }
        let words = ["auto"] + HiDiffusionProfile.allCases.map(\.rawValue)
        throw .invalidRequest(
            "\(.hidiffusionFamily) must be one of \(words.joined(separator: ", ")), not '\(word)'.", aboutAll: []
        ).about(
            SettingFault(.hidiffusionFamily, value: .string(word), possible: .choices(words)))
    }

    static let stageList = SettingKind<[Double]>.list(
        SettingKind<Double>(
            "a number", read: \.doubleValue, write: { .number($0) }, parse: { Double($0).flatMap { $0.isFinite ? $0 : nil } }),
        "a list of numbers", words: "multiples of the native size, such as 1,2, or none", limit: stageLimit, none: "none")
}

extension SettingKind where Value == StructureFraction {
    /// A decimal. It travels as text, because its digits count.
    static let fraction = SettingKind(
        "a decimal fraction in a string", words: "a decimal between 0 and 1, such as 0.4",
        read: { $0.stringValue.flatMap { StructureFraction($0) } }, write: { .string($0.description) },
        parse: { StructureFraction($0) })
}

extension LoRASelection {
    static let list = SettingKind<[LoRASelection]>.list(
        SettingKind<LoRASelection>(
            "an object", read: { LoRASelection(json: $0) }, write: \.json, parse: { LoRASelection(word: $0) }),
        "a list of objects with \"name\" and \"scale\"", words: "files and scales", limit: countLimit)

    /// Reads a user's word: a path or a name, then the scale, or the text encoder's scale and the U-Net's, in the order of the
    /// prompt's tags.
    ///
    /// The word is read from its end, because a path may hold colons. One or two numbers there are scales; NaN and infinity
    /// count as numbers and are refused later. A file whose name ends with a colon and a number needs its ending.
    public init(word: String) {
        self.init(name: word)
        guard let last = Self.takeNumber(from: &name) else { return }
        scale = LoRAScale(last)
        if let first = Self.takeNumber(from: &name) { scale = LoRAScale(unet: last, textEncoder: first) }
    }

    /// Removes the last colon and the number behind it, and returns the number.
    private static func takeNumber(from text: inout String) -> Double? {
        guard let colon = text.lastIndex(of: ":"), let number = Double(text[text.index(after: colon)...]) else { return nil }
        text = String(text[..<colon])
        return number
    }
}

extension SizeConditioning.Size {
    static let kind = SettingKind<Self>.pair(
        ("width", "height"), words: "a size such as 1024x768 (width x height)", separator: "x", { ($0.width, $0.height) },
        { Self(width: $0, height: $1) })

    var json: JSONValue { Self.kind.write(self) }

    func validated(_ name: String, _ setting: Setting) throws(RenderError) {
        guard [width, height].allSatisfy({ (1...RenderRequest.sideLimit).contains($0) }) else {
            throw .invalidRequest(
                "An \(name) of \(width)×\(height) px is not possible: choose sides of 1 to \(RenderRequest.sideLimit).",
                aboutAll: []
            ).about(SettingFault(setting, value: json))
        }
    }
}

extension SizeConditioning.Corner {
    static let kind = SettingKind<Self>.pair(
        ("top", "left"), words: "two numbers such as 0,64 (top,left)", separator: ",", { ($0.top, $0.left) },
        { Self(top: $0, left: $1) })

    var json: JSONValue { Self.kind.write(self) }

    func validated() throws(RenderError) {
        guard [top, left].allSatisfy({ (0...RenderRequest.sideLimit).contains($0) }) else {
            throw .invalidRequest(
                "A crop at \(top),\(left) px is not possible: choose 0 to \(RenderRequest.sideLimit).", aboutAll: []
            ).about(SettingFault(.cropCoordsTopLeft, value: json))
        }
    }
}
