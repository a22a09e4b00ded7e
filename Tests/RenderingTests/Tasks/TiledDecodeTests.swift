import ContentHash
import DiffusionModels
import StrictJSON
import TensorCore
import TestSupport
import Testing

@testable import Rendering

/// Pictures that are decoded in tiles equal pictures of one tile.
@Suite struct TiledDecodeTests {
    /// A latent as a denoised one: smooth, within the range that the decoder knows.
    private static func latent(_ height: Int, _ width: Int) -> Latent {
        var numbers = TestNumbers(seed: 3)
        let noise = numbers.floats(4 * height * width)
        let values = noise.indices.map { index in
            let (row, column) = (index / width % height, index % width)
            return 0.6 * noise[index] + Float(row) / Float(height) - Float(column) / Float(width)
        }
        return Latent(channels: 4, height: height, width: width, values: values)
    }

    /// Decodes as the machine and the workers do.
    ///
    /// - Parameters:
    ///   - runners: the workers; tile i of a section goes to number `place(section, i)`.
    ///   - again: tiles that are computed twice in each section.
    private static func picture(
        _ latent: Latent, tile: Int?, blended: Int? = nil, _ runners: [TaskRunner], again: [Int] = [],
        place: (Int, Int) -> Int = { _, tile in tile }
    ) throws -> [UInt8] {
        let model = try ModelDescription(source: .embeddedModel)
        var decoding = TiledDecoding(
            latent, DecodePlan(model.vae, scale: model.scaleFactor, tileSide: tile, blendedSide: blended),
            context: JobContext(modelIdentity: model.identity), for: .finish)
        while true {
            let (section, context, works) = (decoding.step.index, decoding.context, decoding.works)
            for runner in runners {
                for part in [decoding.base, context].compactMap({ $0?.encoded() }) {
                    try runner.open(JobContext(metadata: part.metadata, payload: part.payload))
                }
            }
            var outputs = [TaskOutput?](repeating: nil, count: works.count)
            for index in Array(works.indices.reversed()) + again.filter({ works.indices.contains($0) }) {
                let sent = RenderTask(
                    phase: .decode, call: section, index: index, contextHash: context.hash, work: works[index]
                ).encoded()
                let task = try RenderTask(metadata: sent.metadata, payload: sent.payload)
                let output = try runners[place(section, index) % runners.count].run(task)
                #expect(outputs[index] == nil || outputs[index] == output)
                #expect(output.shape == works[index].output(of: model))
                let answer = output.encoded()
                outputs[index] = try TaskOutput(output.shape, metadata: answer.metadata, payload: answer.payload)
            }
            guard !decoding.isLast else {
                // Any order.
                for tile in works.indices.reversed() { try decoding.take(#require(outputs[tile]), of: tile) }
                #expect(decoding.isComplete)
                return try #require(decoding.pixels).rgb
            }
            try decoding.merge(outputs.compactMap { $0 })
        }
    }

    private static func runner(
        _ backend: BackendChoice = .auto, _ precision: PrecisionChoice = .f32
    ) throws -> TaskRunner {
        try TaskRunner(models: [.embeddedModel], backend: backend, threads: 2, precision: precision)
    }

    @Test(arguments: [(24, 20, 96), (17, 23, 64), (9, 30, 72), (33, 8, 120)], BackendChoice.libraries)
    func noValueDiffers(_ test: (height: Int, width: Int, tile: Int), _ backend: BackendChoice) throws {
        let (latent, runner) = (Self.latent(test.height, test.width), try Self.runner(backend))
        let whole = try Self.picture(latent, tile: nil, [runner])
        #expect(Set(whole).count > 40)
        let tiles = try Self.picture(latent, tile: test.tile / 8, [runner])
        #expect(tiles.count == test.height * test.width * 192 && tiles == whole)
    }

    @Test func noValueDiffersInBF16() throws {
        guard (try? PrecisionChoice.bf16.resolved(.onednn)) != nil else {
            #expect(throws: RenderError.self) { try Self.runner(.onednn, .bf16) }
            return
        }
        let runner = try Self.runner(.onednn, .bf16)
        let latent = Self.latent(24, 40)
        let (whole, tiles) = (try Self.picture(latent, tile: nil, [runner]), try Self.picture(latent, tile: 16, [runner]))
        #expect(tiles == whole)
    }

    /// Workers that lose their kept tiles, take over each other's tiles and compute tiles twice give the same bytes.
    @Test(arguments: BackendChoice.libraries) func anyWorkerCanGoOn(_ backend: BackendChoice) throws {
        let latent = Self.latent(17, 23)
        let runners = try [Self.runner(backend), Self.runner(backend)]
        runners[1].keptTileBytes = 0
        let usual = try Self.picture(latent, tile: 8, [Self.runner(backend)])
        #expect(try Self.picture(latent, tile: 8, runners) == usual)
        #expect(try Self.picture(latent, tile: 8, runners, again: [0, 4]) { section, tile in section / 5 + tile } == usual)
    }

    /// Tiles that are decoded each by itself: whichever worker computes them, in any order, and twice.
    @Test(arguments: BackendChoice.libraries) func blendedTilesAreDecodedByThemselves(_ backend: BackendChoice) throws {
        let (latent, runner) = (Self.latent(21, 26), try Self.runner(backend))
        let tiles = try #require(BlendedTiles(height: 21, width: 26, side: 12))
        // Each tile as a latent of its own.
        let parts = try (0..<tiles.count).map { tile in
            let box = tiles[tile]
            let values = (0..<4).flatMap { channel in
                box.rows.flatMap { row in box.columns.map { latent.values[(channel * 21 + row) * 26 + $0] } }
            }
            let part = Latent(channels: 4, height: box.height, width: box.width, values: values)
            return try Self.picture(part, tile: nil, [runner])
        }
        let expected = (0..<21 * 8).flatMap { y in
            tiles.row(y, scale: 8, channels: 3) { tile, row in
                let length = tiles[tile].width * 24
                return parts[tile][row * length..<(row + 1) * length].map(Float.init)
            }.map { UInt8($0.rounded(.toNearestOrEven)) }
        }
        #expect(try Self.picture(latent, tile: nil, blended: 12, [runner]) == expected)
        let others = [runner, try Self.runner(backend)]
        #expect(try Self.picture(latent, tile: 8, blended: 12, others, again: [0, 3]) == expected)
        // Norms and attention saw one tile only.
        let exact = try Self.picture(latent, tile: 12, [runner])
        let differences = zip(exact, expected).map { abs(Int($0) - Int($1)) }
        #expect(differences.contains { $0 > 0 } && exact.count == expected.count)
        // One tile has nothing to blend.
        #expect(try Self.picture(latent, tile: nil, blended: 26, [runner]) == exact)
    }

    /// A model of 24 px: a quarter of its tile would be less than a point.
    @Test func tilesTooSmallToOverlapAreRefused() throws {
        let small = try GoldenModels.source("tiny-sdxl-turbo", setting: ["unet/config.json": ["sample_size": 3]])
        let model = try ModelDescription(source: small)
        func plan(_ change: (inout RenderRequest) -> Void) throws -> RenderPlan {
            let request = RenderRequest.square(128, steps: 2) { request in
                (request.method, request.vaeTiling, request.hiDiffusion) = (.direct, .blend, .off)
                change(&request)
            }
            return try RenderMachine(request: request, model: model).plan
        }
        let error = #expect(throws: RenderError.self) { try plan { _ in } }
        #expect(error?.code == .invalidRequest && error?.faults == [SettingFault(.vaeTiling)], "\(error as Any)")
        #expect(try plan { $0.vaeTileSize = 64 }.tasksPerPhase.last?.tasks == 9)
    }

    @Test func aPartOutsideItsLatentIsRefused() throws {
        let (runner, model) = (try Self.runner(), try ModelDescription(source: .embeddedModel))
        let context = JobContext(modelIdentity: model.identity)
            .with(.latent(Self.latent(4, 5), tileHeight: 4, tileWidth: 5))
        try runner.open(context)
        for (top, left, section) in [(0, 0, nil), (3, 3, nil), (3, 0, nil), (0, 4, nil), (0, 0, 0)] as [(Int, Int, Int?)] {
            let work = DecodeWork(
                tile: 0, section: section, corner: DecodeWork.Corner(top: top, left: left), height: 2, width: 2,
                isLast: section == nil)
            func run() throws {
                _ = try runner.run(
                    RenderTask(phase: .decode, call: 0, index: 0, contextHash: context.hash, work: work))
            }
            if section == nil, top <= 2, left <= 3 {
                try run()
            } else {
                #expect((#expect(throws: RenderError.self) { try run() })?.code == .malformed, "\(top), \(left)")
            }
        }
    }

    @Test func whatIsNotThereIsRefused() throws {
        let (runner, model) = (try Self.runner(), try ModelDescription(source: .embeddedModel))
        let own = JobContext(modelIdentity: model.identity)
        let latent = Self.latent(4, 4)
        let whole = own.with(.latent(latent, tileHeight: 2, tileWidth: 2))
        let moments = GroupMoments(
            count: 1, means: [Double](repeating: 0, count: 8), scatters: [Double](repeating: 1, count: 8))
        let next = own.with(.moments([moments], of: whole.hash))
        func run(_ context: JobContext, section: Int?, isLast: Bool = false) throws {
            _ = try runner.run(
                RenderTask(
                    phase: .decode, call: 0, index: 0, contextHash: context.hash,
                    work: DecodeWork(tile: 0, section: section, height: 2, width: 2, isLast: isLast)))
        }
        try runner.open(next)
        let lost = #expect(throws: RenderError.self) { try run(next, section: 1) }
        #expect(lost?.code == .missingContext && lost?.message.contains(whole.hash.hex) == true)
        try runner.open(whole)
        try run(next, section: 1)
        for (context, section, isLast) in [(next, 0, false), (next, 2, false), (next, 1, true), (whole, nil, true)] {
            let error = #expect(throws: RenderError.self) { try run(context, section: section, isLast: isLast) }
            #expect(error?.code == .malformed)
        }
        // A context that builds on one without a latent.
        let stray = own.with(.moments([moments], of: own.hash))
        for context in [own, stray] { try runner.open(context) }
        #expect((#expect(throws: RenderError.self) { try run(stray, section: 1) })?.code == .malformed)
        for (norms, groups) in [(1, 7), (1, 9), (1, 1024), (model.vae.decodeSectionCount, 8)] {
            let moments = GroupMoments(
                count: 1, means: [Double](repeating: 0, count: groups), scatters: [Double](repeating: 1, count: groups))
            let context = own.with(.moments([GroupMoments](repeating: moments, count: norms), of: whole.hash))
            let error = #expect(throws: RenderError.self) { try runner.open(context) }
            #expect(error?.code == .malformed && error?.message.contains("8 groups") == true)
        }
        let foreign = own.with(
            .latent(Latent(channels: 3, height: 1, width: 1, values: [0, 0, 0]), tileHeight: 1, tileWidth: 1))
        #expect(throws: RenderError.self) { try runner.open(foreign) }
    }

    @Test func damagedMomentsAreRefused() {
        let shape = OutputShape("tile moments", of: .f64, ["groups": 2], count: 4)
        for bad in [
            [0, 0, 1, .nan], [0, 0, 1, .infinity], [0, 0, 1, -1], [0, 0, 1, 1e78], [0, 1e39, 1, 1], [-1e39, 0, 1, 1],
        ] {
            let code: RenderError.Code = bad.allSatisfy(\.isFinite) ? .malformed : .nonFinite
            let error = #expect(throws: RenderError.self) { try GroupMoments(numbers: bad, points: 4) }
            #expect(error?.code == code)
            // So the coordinator blames the worker, and not the job.
            let output = #expect(throws: RenderError.self) {
                try TaskOutput(shape, metadata: shape.metadata, payload: TensorBytes.encode(bad))
            }
            #expect(output?.code == code)
        }
    }

    @Test func thePlanCountsTheTiles() throws {
        let model = try ModelDescription(source: .embeddedModel)
        let asked = RenderRequest.square(256, steps: 2) { ($0.method, $0.vaeTileSize) = (.direct, 128) }
        let machine = try RenderMachine(request: asked, model: model)
        let (barriers, image) = try FormulaNetwork.render(machine)
        #expect(machine.plan.tasksPerPhase.last?.tasks == 4 * model.vae.decodeSectionCount)
        let decodes = barriers.filter { $0.phase == .decode }
        #expect(decodes.count == model.vae.decodeSectionCount && decodes.allSatisfy { $0.tasks.count == 4 })
        #expect(decodes.dropFirst().allSatisfy { $0.base == decodes[0].context } && decodes[0].base == nil)
        #expect(decodes.allSatisfy { $0.tasks.map(\.thread) == [0, 1, 2, 3] })
        #expect(image.rgb == [UInt8](repeating: 7, count: 256 * 256 * 3))
    }

    @Test func thePlanCountsBlendedTiles() throws {
        let model = try ModelDescription(source: .embeddedModel)
        func machine(_ change: (inout RenderRequest) -> Void) throws -> RenderMachine {
            let request = RenderRequest.square(256, steps: 2) { request in
                (request.method, request.vaeTiling) = (.direct, .blend)
                change(&request)
            }
            return try RenderMachine(request: RenderRequest(metadata: request.json), model: model)
        }
        // Three tiles of the native 128 px on each side, from 0, 96 and 192.
        let usual = try machine { _ in }
        let (barriers, image) = try FormulaNetwork.render(usual)
        #expect(usual.plan.tasksPerPhase.last?.tasks == 9)
        let decodes = barriers.filter { $0.phase == .decode }
        #expect(decodes.count == 1 && decodes[0].tasks.count == 9 && decodes[0].tasks.allSatisfy { $0.thread == nil })
        #expect(image.rgb == [UInt8](repeating: 7, count: 256 * 256 * 3))
        #expect(image.parameters.contains("VAE tile size: 128, VAE tiling: blend"), "\(image.parameters)")
        #expect(try machine { $0.vaeTileSize = 96 }.plan.tasksPerPhase.last?.tasks == 16)
        // The picture is one tile.
        let whole = #expect(throws: RenderError.self) { try machine { $0.vaeTileSize = 256 } }
        #expect(whole?.code == .invalidRequest && whole?.faults == [SettingFault(.vaeTiling)], "\(whole as Any)")
        // Both the enlarged stage and the picture.
        let stages = try machine { ($0.method, $0.vaeTileSize, $0.stages) = (.hires, 96, [1]) }
        #expect(try FormulaNetwork.render(stages).0.filter { $0.phase == .decode }.map(\.tasks.count) == [4, 16])
    }
}
