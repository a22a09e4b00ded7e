import Acceleration
import DiffusionModels
import PatchGeometry
import Sentences
import StrictJSON
import Weights

// Refuses settings of HiDiffusion that would have no effect.

extension PlanResolution {
    /// A profile of HiDiffusion must fit the model. It describes the model, so pictures too small for HiDiffusion may have one.
    /// With HiDiffusion off it is refused.
    func checkHiDiffusionProfile() throws(RenderError) {
        guard let profile = request.hiDiffusionProfile else { return }
        guard profile.layout == model.hiDiffusionLayout else {
            throw .invalidRequest(
                "HiDiffusion's profile \(profile.rawValue) does not fit \(model.name), a model of the kind "
                    + "\(model.kind.title): choose \(.hidiffusionFamily) auto.",
                SettingFault(
                    .hidiffusionFamily, value: .string(profile.rawValue), possible: .choices(["auto"])))
        }
        guard request.hiDiffusion != .off else {
            throw .invalidRequest(
                "HiDiffusion is off, so its profile \(profile.rawValue) would have no effect: leave "
                    + "\(.hidiffusionFamily) or \(.hidiffusion) off out.", about: .hidiffusionFamily, .hidiffusion)
        }
    }

    /// RAU-Net's switches in the call `position` of `count` with HiDiffusion on.
    func rauNet(
        of size: (height: Int, width: Int), _ position: Int, of count: Int, _ settings: HiDiffusionSettings
    ) -> RAUNetSwitches {
        guard let profile = hiDiffusionProfile else { return .plain }
        return RAUNetSwitches(
            profile: profile, height: size.height, width: size.width, steps: count, step: position, settings: settings,
            native: native)
    }

    /// `on` needs an input large enough.
    func checkHiDiffusionIsUsed(_ calls: [PlannedCall]) throws(RenderError) {
        guard request.hiDiffusion == .on, let last = calls.last, !calls.contains(where: \.usesHiDiffusion) else { return }
        guard hiDiffusionProfile != nil else {
            throw .invalidRequest(
                "HiDiffusion does not know the U-Net of \(model.name): choose \(.hidiffusion) off or auto.",
                SettingFault(
                    .hidiffusion, value: .string(request.hiDiffusion.rawValue),
                    possible: .choices([HiDiffusionChoice.auto, .off].map(\.rawValue))))
        }
        let needed = (3 * native + 1) / 2 * model.scaleFactor
        let side = model.scaleFactor * min(last.height, last.width)
        throw .invalidRequest(
            "HiDiffusion needs a U-Net input of at least \(needed) px with a model of \(model.nativeSize) px, but this input "
                + "has \(side) px: "
                + (last.phase == .denoise ? "choose a larger picture" : "choose a larger patch or the method direct")
                + ", or \(.hidiffusion) off.", about: .hidiffusion)
    }

    /// - Parameter calls: the calls with HiDiffusion.
    func checkHiDiffusionSettingsAreUsed(_ calls: [PlannedCall]) throws(RenderError) {
        let settings = request.hiDiffusionSettings
        guard settings != .published else { return }
        guard !calls.isEmpty else {
            throw .invalidRequest(
                "HiDiffusion is off for this picture, so its switches and thresholds would have no effect: leave them out, or "
                    + "choose the method direct and a picture of at least 1.5 times the native size.",
                aboutAll: HiDiffusionSettings.settings.filter { $0.isSet(settings) }.compactMap(\.setting))
        }
        let thresholds: [(setting: Setting, name: String, path: WritableKeyPath<HiDiffusionSettings, Double?>)] = [
            (.hidiffusionT1, "T1", \.t1), (.hidiffusionT2, "T2", \.t2), (.hidiffusionAggressive, "aggressive", \.aggressive),
        ]
        for (setting, name, path) in thresholds where settings[keyPath: path] != nil && !isRead(path, calls) {
            throw .invalidRequest(
                "HiDiffusion's threshold \(name) has no effect \(reason(name)): leave it out.", about: setting)
        }
    }

    /// Whether any call depends on a threshold: the share 0, 1 or the published one would change its switches.
    private func isRead(_ threshold: WritableKeyPath<HiDiffusionSettings, Double?>, _ calls: [PlannedCall]) -> Bool {
        [0, 1, nil].contains { share in
            var other = request.hiDiffusionSettings
            other[keyPath: threshold] = share
            return calls.contains { rauNet(of: ($0.height, $0.width), $0.position, of: $0.count, other) != $0.rauNet }
        }
    }

    /// A note if maps with an odd side are cut into windows; the reference warns of them too.
    func oddMapsNote(_ calls: [PlannedCall]) -> String? {
        guard let layout = model.hiDiffusionLayout else { return nil }
        let level = layout.windowScale
        var divisor = 0
        for call in calls where call.windowBlocks != nil {
            let isPooled = layout.poolsWithinWindows && call.rauNet.pool
            for part in isPooled ? [level, 2 * level] : [level] {
                let sides = [call.height, call.width].map { ($0 + part - 1) / part }
                if sides.contains(where: { $0 % 2 == 1 }) { divisor = max(divisor, isPooled ? 4 * level : 2 * level) }
            }
        }
        guard divisor > 0 else { return nil }
        return
            "HiDiffusion resizes feature maps with odd sides for its windows, which blurs them a little: choose sides of "
            + "picture and patch that are multiples of \(divisor * model.scaleFactor) px, or turn window attention off"
    }

    /// Why no call depends on a threshold.
    private func reason(_ threshold: String) -> Sentence {
        guard request.hiDiffusionSettings.raunet else { return "while RAU-Net is off" }
        switch (threshold, hiDiffusionProfile) {
        case ("aggressive", .sdxl): return "at four times the native size and more"
        case ("aggressive", _): return "in profiles other than sdxl"
        case ("T2", .sdxlTurbo): return "in the profile sdxl_turbo"
        case ("T2", .sdxl): return "while the profile sdxl starts aggressively, unless \(.hidiffusionAggressive) is 0"
        default: return "with the other thresholds as they are"
        }
    }
}
