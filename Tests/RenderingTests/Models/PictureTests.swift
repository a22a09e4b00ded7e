import Rendering
import Samplers
import StrictJSON
import TensorCore
import TestSupport
import Testing

/// Whole pictures of the embedded model: the same bytes for any runner, order and number of computations.
@Suite struct PictureTests {
    static let direct = request {
        ($0.prompt, $0.negativePrompt, $0.width, $0.height, $0.steps) = ("a red apple", "blue", 128, 128, 3)
    }
    static let cut = request {
        ($0.prompt, $0.width, $0.height, $0.steps, $0.seed) = ("a green pear", 192, 256, 3, 7)
    }
    /// HiDiffusion on in both phases, one prompt, fresh noise at every step.
    static let windows = request {
        ($0.prompt, $0.width, $0.height, $0.patch, $0.stride, $0.steps) = ("a star", 208, 200, 192, 96, 3)
        ($0.method, $0.guidanceScale, $0.eta) = (.cut, 1, 1)
    }

    /// The pictures of one thread that computes in task order.
    private static let pictures = Result {
        let render = try LocalRender(threads: 1)
        return [try render.image(direct), try render.image(cut), try render.image(windows)]
    }

    @Test func orderAndRepetitionDoNotMatter() throws {
        let pictures = try Self.pictures.get()
        let render = try LocalRender(threads: 1)
        var generator = SeededGenerator(seed: 11)
        for (request, picture) in zip([Self.direct, Self.cut, Self.windows], pictures) {
            #expect(try render.image(request) { (0..<$0).reversed() } == picture)
            let shuffled = try render.image(request) { count in
                let once = Array(0..<count)
                return (once + once.filter { _ in Bool.random(using: &generator) }).shuffled(using: &generator)
            }
            #expect(shuffled == picture)
        }
    }

    @Test func threadsDoNotMatter() throws {
        let pictures = try Self.pictures.get()
        let render = try LocalRender(threads: 2)
        #expect(try [Self.cut, Self.windows].map { try render.image($0) } == Array(pictures[1...]))
    }

    /// One runner does the barriers of three jobs in turns, with a task that fails in between.
    @Test func jobsThatTakeTurnsDoNotDisturbEachOther() throws {
        let render = try LocalRender(threads: 1)
        var renders = try [Self.direct, Self.cut, Self.windows].map {
            try OngoingRender(RenderMachine(request: $0, model: render.model))
        }
        let stray = try LocalRender(ModelVariant.source(changing: "scheduler/scheduler_config.json", ["steps_offset": 0]))
        let foreign = try OngoingRender(RenderMachine(request: Self.direct, model: stray.model)).barrier.tasks[0]
        while renders.contains(where: { $0.image == nil }) {
            for index in renders.indices where renders[index].image == nil {
                try renders[index].advance(render.runner)
                #expect(refusal { _ = try render.runner.run(foreign) }?.code == .missingContext)
            }
        }
        #expect(try renders.map { try $0.finished } == Self.pictures.get())
    }

    /// Two libraries agree except for the last bits. Each agrees with itself exactly, for any number of threads.
    @Test(arguments: BackendChoice.libraries)
    func backendsAgreeClosely(_ backend: BackendChoice) throws {
        let picture = try Self.pictures.get()[0]
        let image = try LocalRender(backend: backend, threads: 1).image(Self.direct)
        #expect(try LocalRender(backend: backend, threads: 2).image(Self.direct) == image)
        let distances = zip(image.rgb, picture.rgb).map { abs(Int($0) - Int($1)) }
        #expect(distances.max() ?? 0 <= 2)
    }

    @Test func picturesHaveTheirSizeAndSomethingOnThem() throws {
        let pictures = try Self.pictures.get()
        #expect(pictures.map { [$0.width, $0.height] } == [[128, 128], [192, 256], [208, 200]])
        for picture in pictures {
            #expect(picture.rgb.count == picture.width * picture.height * 3)
            #expect(Set(picture.rgb).count > 40)
        }
        #expect(pictures[0].rgb != pictures[1].rgb)
    }

    @Test func promptSeedAndGuidanceChangeThePicture() throws {
        let render = try LocalRender(threads: 1)
        let original = try render.image(Self.direct)
        let changes: [(inout RenderRequest) -> Void] = [
            { $0.prompt = "a green pear" }, { $0.negativePrompt = "" }, { $0.seed = 43 }, { $0.guidanceScale = 2 },
            { $0.steps = 4 }, { $0.samplingMethod = .euler }, { $0.eta = 1 },
        ]
        for (index, change) in changes.enumerated() {
            var request = Self.direct
            change(&request)
            #expect(try render.image(request).rgb != original.rgb, "change \(index)")
        }
    }
}
