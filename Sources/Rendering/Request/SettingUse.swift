import Sentences

/// Where a setting has an effect.
public enum SettingUse: Sendable, Hashable {
    case always
    /// CutDiffusion's structure phase.
    case structure
    /// Overlapping views.
    case views
    /// Sizes before the picture's own.
    case stages
    /// The enlarging of a stage's result.
    case refinement
    /// Later stages in views.
    case tiles
    /// HiDiffusion.
    case hiDiffusion
    /// HiDiffusion too, for a setting that describes the model.
    case hiDiffusionProfile

    /// Whether a request has this use. Its method must not be `auto`.
    public func isMet(by request: RenderRequest) -> Bool {
        let method = request.method
        return switch self {
        case .always: true
        case .structure: method == .cut
        case .views: [.cut, .multidiffusion].contains(method) || (method == .hires && request.refinement.tiled == true)
        case .stages: [.cut, .hires].contains(method)
        case .refinement: method == .hires || (method == .cut && request.stages != [])
        case .tiles: method == .hires
        case .hiDiffusion, .hiDiffusionProfile: request.hiDiffusion != .off
        }
    }

    /// In the order of complaints.
    fileprivate static let ofMethods: [SettingUse] = [.structure, .views, .stages, .refinement, .tiles]
}

extension RenderRequest {
    /// Refuses settings that the method ignores. The plan checks those of HiDiffusion, because it knows where
    /// HiDiffusion is on.
    ///
    /// - Parameter method: never `auto`.
    func checkSettingsBelong(to method: RenderMethod) throws(RenderError) {
        let uses = Self.settings.filter { $0.isSet(self) }.map(\.use)
        let refusals = SettingUse.ofMethods.lazy.filter(uses.contains).compactMap { refusal(of: $0, by: method) }
        if let sentence = refusals.first { throw .invalidRequest(sentence) }
    }

    private func refusal(of use: SettingUse, by method: RenderMethod) -> Sentence? {
        switch (use, method) {
        case (.structure, .direct), (.views, .direct):
            "Patch, stride, jitter, blending, structure, structure fraction and detail guidance belong to the method cut, but this "
                + "picture is rendered directly: leave them out or choose the method cut."
        case (.structure, .hires), (.structure, .multidiffusion):
            "Structure and structure fraction belong to the method cut: leave them out or choose the method cut."
        case (.views, .hires) where refinement.tiled != true:
            "Patch, stride, jitter, blending and detail guidance need views: choose \(.hiresTiled) with the method hires."
        case (.stages, .direct), (.stages, .multidiffusion), (.refinement, .direct), (.refinement, .multidiffusion),
            (.tiles, .direct), (.tiles, .multidiffusion):
            "Stages and their refinement belong to the methods cut and hires: leave them out or choose one of these."
        case (.tiles, .auto), (.tiles, .cut):
            "Tiled refinement belongs to the method hires: leave it out or choose the method hires."
        default: nil
        }
    }
}
