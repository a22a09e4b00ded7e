/// Something that a user's words give a value. Its raw value is its key on the wire.
public enum Setting: String, Sendable, CaseIterable {
    case initImg = "init_img", mask, width, height
    case method, hidiffusion
    case hidiffusionFamily = "hidiffusion_family", hidiffusionRaunet = "hidiffusion_raunet"
    case hidiffusionWindowAttn = "hidiffusion_window_attn"
    case blend, structure, stages
    case structureFraction = "structure_fraction", hiresUpscaler = "hires_upscaler"
    case scheduler
    case originalSize = "original_size", targetSize = "target_size", cropCoordsTopLeft = "crop_coords_top_left"
    case tomeRatio = "tome_ratio", tomeFinalRatio = "tome_final_ratio", tomeSx = "tome_sx", tomeSy = "tome_sy"
    case tomeMaxDownsample = "tome_max_downsample", tomeLevels = "tome_levels", tomeLayers = "tome_layers"
    case tomeDestinations = "tome_destinations", tomeQueriesOnly = "tome_queries_only"
    case todoFactor = "todo_factor", todoMaxDepth = "todo_max_depth", todoMethod = "todo_method", todoScope = "todo_scope"
    case tokenSteps = "token_steps", tokenStages = "token_stages"
    case model, vae, modelConfig = "model_config", predictionType = "prediction_type", variant
    case backend
}

/// A sentence that names settings, until it is known how they are spelled: `--hires-upscaler` on a command line,
/// `hires_upscaler` in JSON.
public struct Sentence: Sendable, Equatable, ExpressibleByStringInterpolation {
    fileprivate enum Part: Sendable, Equatable {
        case text(String)
        case setting(Setting)
    }

    private var parts: [Part]

    /// A sentence that names no setting.
    public init(stringLiteral text: String) { parts = [.text(text)] }

    /// A sentence with settings: `"\(.width) must be above 0."`
    public init(stringInterpolation: StringInterpolation) { parts = stringInterpolation.parts }

    /// The sentence with every setting as `spelling` writes it.
    public func spelled(_ spelling: (Setting) -> String) -> String {
        parts.map { part in
            switch part {
            case .text(let text): text
            case .setting(let setting): spelling(setting)
            }
        }.joined()
    }

    /// Gathers the parts of a sentence.
    public struct StringInterpolation: StringInterpolationProtocol {
        fileprivate var parts: [Part] = []

        public init(literalCapacity: Int, interpolationCount: Int) {}

        /// Takes text that stands in the sentence.
        public mutating func appendLiteral(_ text: String) { parts.append(.text(text)) }

        /// Takes a setting, to be spelled later.
        public mutating func appendInterpolation(_ setting: Setting) { parts.append(.setting(setting)) }

        /// Takes a value as text.
        public mutating func appendInterpolation(_ value: some CustomStringConvertible & Sendable) {
            parts.append(.text(value.description))
        }
    }
}
