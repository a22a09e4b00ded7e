import CommandSupport
import ImageFiles
import MethodComparison
import Rendering
import Requests
import Sentences

/// Every picture of a comparison. All are planned before the first one is rendered.
struct Comparison {
    struct Item {
        let subject: ComparedPicture.Subject
        let request: RenderRequest
        let plan: RenderPlan
        /// The file that keeps the picture; nil if it is not kept.
        let place: OutputFile?

        var isNative: Bool { subject.method == ComparedPicture.native }
    }

    /// The pictures in the order of rendering: for each prompt the native picture, then every size with every method.
    private(set) var items: [Item] = []
    let prompts: [String]
    let recipes: [MethodRecipe]
    let sizes: ComparedSizes

    /// Whether the item with this number is the last of its prompt.
    func isLastOfPrompt(_ number: Int) -> Bool { number + 1 == items.count || items[number + 1].isNative }

    /// The largest number of pictures in one comparison.
    private static let picturesMax = 10_000

    /// - Parameters:
    ///   - loras: with a request that has the first prompt, in any size.
    ///   - keep: the folder that keeps the pictures.
    init(
        _ prompts: [String], _ recipes: [MethodRecipe], _ sizes: ComparedSizes, model: ModelDescription,
        loras: LoRAFolders.Resolved, keep: KeptPictures?
    ) throws {
        (self.prompts, self.recipes, self.sizes) = (prompts, recipes, sizes)
        let count = prompts.count * (1 + sizes.sizes.count * recipes.count)
        guard count <= Self.picturesMax else {
            throw CommandFailure(
                .usage,
                "These are \(count) pictures, and a comparison has at most \(Self.picturesMax): leave prompts or sizes out.")
        }
        try checkNothingIsLost(loras.request, model)
        try checkPicturesCanBeRead()
        for (index, prompt) in prompts.enumerated() {
            var asked = loras.request
            asked.prompt = prompt
            try asked.validated()
            let native = (name: ComparedPicture.native, recipe: MethodRecipe.direct)
            try add(prompt: index, native, sizes.native, asked)
            for size in sizes.sizes {
                for recipe in recipes { try add(prompt: index, (recipe.name, recipe), size, asked) }
            }
        }
        func add(
            prompt: Int, _ method: (name: String, recipe: MethodRecipe), _ size: ComparedSizes.Size, _ asked: RenderRequest
        ) throws {
            var sized = asked
            (sized.width, sized.height) = (size.width, size.height)
            let request = method.recipe.applied(to: sized, model: model)
            let subject = ComparedPicture.Subject(
                promptNumber: prompt + 1, prompt: request.prompt, seed: request.seed, method: method.name, scale: size.scale,
                width: size.width, height: size.height)
            let plan: RenderPlan
            do throws(RenderError) { plan = try RenderMachine(request: request, model: model, loras: loras.library).plan } catch
            {
                let failure = error.failure
                throw CommandFailure(failure.status, "\(method.name) at \(size.width)×\(size.height): \(failure.message)")
            }
            items.append(Item(subject: subject, request: request, plan: plan, place: try keep?.place(for: subject)))
        }
    }

    /// A comparison reads its pictures again. Noise makes a file a little larger than its pixels.
    private func checkPicturesCanBeRead() throws(CommandFailure) {
        let limit = PictureLimits.standard.fileBytesMax
        for size in sizes.sizes {
            let bytes = size.width * size.height * 3 * 101 / 100
            guard bytes <= limit else {
                throw CommandFailure(
                    .usage,
                    "A picture of \(size.width)×\(size.height) px may have a file of \(bytes >> 20) MiB, and a comparison reads "
                        + "at most \(limit >> 20) MiB: choose smaller sizes.")
            }
        }
    }

    /// Refuses a setting that no method of the comparison has, instead of ignoring it.
    private func checkNothingIsLost(_ request: RenderRequest, _ model: ModelDescription) throws(CommandFailure) {
        var settings: [(name: String, method: String, isSet: (RenderRequest) -> Bool)] = RenderRequest.settings.compactMap {
            setting in
            MethodRecipe.adding(setting.use).map { method in
                (
                    name: Self.name(of: setting.use) ?? setting.setting?.option ?? "", method: method,
                    isSet: { (request: RenderRequest) in request.hasEffect(setting.use) && setting.isSet(request) }
                )
            }
        }
        settings += [
            ("\(Setting.tomeRatio.option) or \(Setting.tomeHiresRatio.option)", "tome", { $0.tokenReduction?.merging != nil }),
            (Setting.todoFactor.option, "todo", { $0.tokenReduction?.downsampling != nil }),
            (
                "\(Setting.tomeHiresRatio.option) or \(Setting.tokenStages.option)", "hires+tome",
                { $0.tokenReduction != $0.tokenReduction?.ofOneStage }
            ),
        ]
        for setting in settings where setting.isSet(request) {
            guard recipes.contains(where: { setting.isSet($0.applied(to: request, model: model)) }) else {
                throw CommandFailure(
                    .usage,
                    "No method that is compared uses this: \(setting.name). Leave it out, or add \(setting.method) to --methods."
                )
            }
        }
    }

    /// The common name of several settings.
    private static func name(of use: SettingUse) -> String? {
        switch use {
        case .refinement, .tiles: "The settings of later stages"
        case .hiDiffusion: "The settings of HiDiffusion"
        case .hiDiffusionProfile: "HiDiffusion's profile"
        default: nil
        }
    }
}

extension RenderRequest {
    /// Nothing belongs to a setting that is off.
    fileprivate func hasEffect(_ use: SettingUse) -> Bool {
        ![.hiDiffusion, .hiDiffusionProfile].contains(use) || use.isMet(by: self)
    }
}
