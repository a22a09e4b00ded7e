/// Something that a user gives a value. Errors name settings, and each program spells them in its own way.
public struct Setting: Sendable, Hashable {
    /// Its name in JSON and in forms, such as `hires_upscaler`.
    public let key: String
    /// The letter of its short option, if sentences name it by that option.
    public let letter: Character?

    public init(_ key: String, letter: Character? = nil) { (self.key, self.letter) = (key, letter) }

    public static func == (first: Setting, second: Setting) -> Bool { first.key == second.key }

    public func hash(into hasher: inout Hasher) { hasher.combine(key) }

    /// The option of a command line that gives it a value, such as `--hires-upscaler`.
    public var option: String {
        letter.map { "-\($0)" } ?? "--" + key.split(separator: "_").joined(separator: "-")
    }
}

// Settings beside those of a picture, which `Rendering` declares.
extension Setting {
    public static let model = Setting("model")
    /// The model by its short option.
    public static let briefModel = Setting("model", letter: "m")
    public static let vae = Setting("vae")
    public static let modelConfig = Setting("model_config")
    public static let predictionType = Setting("prediction_type")
    public static let variant = Setting("variant")
    public static let ignoreUnknownTensors = Setting("ignore_unknown_tensors")
    public static let lora = Setting("lora")
    public static let loraModelDir = Setting("lora_model_dir")
    public static let initImg = Setting("init_img", letter: "i")
    public static let mask = Setting("mask")
    public static let backend = Setting("backend")
    /// The precision of a picture; workers and coordinators name it too.
    public static let precision = Setting("precision")
    public static let noClobber = Setting("no_clobber")
}
