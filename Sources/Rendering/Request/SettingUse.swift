import Sentences

/// The kinds of requests in which a setting has an effect, in the order of complaints.
public enum SettingUse: Sendable, Hashable, CaseIterable {
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
}

extension RenderRequest {
    /// The settings among these that do not have their defaults.
    func set(among settings: [Setting]) -> [Setting] {
        Self.settings.filter { $0.isSet(self) }.compactMap(\.setting).filter(settings.contains)
    }

    /// Refuses settings that the method ignores. The plan checks those of HiDiffusion, because it knows where
    /// HiDiffusion is on.
    ///
    /// - Parameter method: never `auto`.
    func checkSettingsBelong(to method: RenderMethod) throws(RenderError) {
        let set = Self.settings.filter { $0.isSet(self) }
        let refused = set.compactMap { setting in refusal(of: setting.use, by: method).map { ($0, setting) } }
        let byUse = SettingUse.allCases.lazy.compactMap { use in refused.first { $0.1.use == use } }
        guard let first = byUse.first else { return }
        let names = refused.filter { $0.0 == first.0 }.compactMap(\.1.setting)
        // The cure's setting is not at fault.
        throw .invalidRequest(
            "\(first.0.reason): leave out \(Sentence.list(names)), or choose \(first.0.cure).", aboutAll: names)
    }

    private struct Refusal: Equatable {
        let reason: Sentence
        let cure: Sentence
    }

    /// Why a picture of the method has no use for such settings; nil if it has.
    private func refusal(of use: SettingUse, by method: RenderMethod) -> Refusal? {
        var resolved = self
        resolved.method = method
        guard !use.isMet(by: resolved) else { return nil }
        switch use {
        case .always, .hiDiffusion, .hiDiffusionProfile: return nil
        case .structure, .views:
            if method == .direct {
                return Refusal(
                    reason: "This picture is rendered directly, without patches and views", cure: "\(.method) cut")
            }
            return use == .structure
                ? Refusal(reason: "Only the method cut has a structure phase", cure: "\(.method) cut")
                : Refusal(reason: "The stages of this picture have no views", cure: "\(.hiresTiled)")
        case .stages, .refinement:
            if method == .cut { return Refusal(reason: "This picture is made in one stage", cure: "\(.stages)") }
            let how = method == .direct ? "directly" : "by the method \(method.rawValue)"
            return Refusal(reason: "This picture is rendered \(how), in one stage", cure: "\(.method) hires")
        case .tiles:
            return Refusal(
                reason: "Only the method hires has later stages with or without views", cure: "\(.method) hires")
        }
    }
}
