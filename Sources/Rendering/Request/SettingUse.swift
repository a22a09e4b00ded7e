import Sentences

/// Where a setting means something.
public enum SettingUse: Sendable, Hashable {
    case always
    /// CutDiffusion's structure phase.
    case structure
    /// Overlapping views.
    case views
    /// Sizes before the picture's own.
    case stages
    /// What is done with the result of such a size.
    case refinement
    /// Later stages in views.
    case tiles
    /// HiDiffusion, where it is on.
    case hiDiffusion
    /// The same, and the settings of this use say what the model is.
    case hiDiffusionProfile
    /// These methods, where nothing else is to be said of it.
    case methods([RenderMethod])

    /// Whether a request, of which the method is decided, is made with it.
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
        case .methods(let methods): methods.contains(method)
        }
    }

    /// In the order in which they are complained about.
    fileprivate static let ofMethods: [SettingUse] = [.structure, .views, .stages, .refinement, .tiles]
}

extension RenderRequest {
    /// Settings that the method would ignore are refused. HiDiffusion's are left to the plan, which knows where it is on.
    ///
    /// - Parameter method: the one that `auto` stands for.
    func checkSettingsBelong(to method: RenderMethod) throws(RenderError) {
        let set = Self.settings.filter { $0.isSet(in: self) }
        let uses = SettingUse.ofMethods.filter { use in set.contains { $0.use == use } }
        if let sentence = uses.lazy.compactMap({ refusal(of: $0, by: method) }).first {
            throw RenderError(.invalidRequest, naming: sentence)
        }
        for case let setting in set {
            guard case .methods(let methods) = setting.use, !methods.contains(method), let name = setting.setting else {
                continue
            }
            let all = methods.map(\.rawValue).joined(separator: " and ")
            throw RenderError(
                .invalidRequest,
                naming:
                    "\(name) belongs to the method\(methods.count == 1 ? "" : "s") \(all): leave it out, or choose another method."
            )
        }
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
