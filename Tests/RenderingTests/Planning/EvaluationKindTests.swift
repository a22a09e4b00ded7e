import Acceleration
import EmbeddedModel
import Rendering
import Testing
import Weights

/// The U-Net calls of whole renders.
@Suite struct UNetCallsTests {
    private func machine(
        _ source: ModelSource = .embeddedModel, side: Int = 512, _ change: (inout RenderRequest) -> Void
    ) throws -> RenderMachine {
        var request = RenderRequest()
        request.prompt = "a red apple"
        (request.width, request.height, request.steps) = (side, side, 10)
        (request.method, request.hiDiffusion) = (.direct, .off)
        change(&request)
        return try RenderMachine(request: request, model: ModelDescription(source: source))
    }

    @Test func aPlainRenderHasOneKind() throws {
        let calls = EvaluationKind.all(of: try machine { _ in })
        #expect(calls.count == 1)
        #expect(calls.first?.switches == .plain)
        #expect(calls.first?.evaluations == 20)
        #expect(calls.first.map { [$0.channels, $0.height, $0.width] } == [4, 64, 64])
        #expect(EvaluationKind.all(of: try machine { $0.guidanceScale = 1 }).map(\.evaluations) == [10])
    }

    /// Patches and views are of one size here, and the shifts of windows make no kind of their own.
    @Test func kindsDifferInSizeAndInWhatIsOn() throws {
        let cut = EvaluationKind.all(of: try machine { ($0.method, $0.stages) = (.cut, []) })
        #expect(cut.map { [$0.height, $0.width] } == [[16, 16]])
        let hiDiffusion = EvaluationKind.all(of: try machine { $0.hiDiffusion = .on })
        // At four times the native size pooling is on for the first 0.3 of the steps, the dilated convolution for 0.7.
        #expect(hiDiffusion.map(\.switches.rad) == [true, true, false])
        #expect(hiDiffusion.map(\.switches.pool) == [true, false, false])
        #expect(hiDiffusion.map(\.evaluations) == [6, 8, 6])
        #expect(hiDiffusion.allSatisfy { $0.switches.windowShifts != nil })
    }

    @Test(arguments: [RenderMethod.direct, .cut, .hires, .multidiffusion, .auto])
    func theSumIsThatOfThePlan(_ method: RenderMethod) throws {
        let machine = try machine(side: 384) { $0.method = method }
        let calls = EvaluationKind.all(of: machine)
        #expect(calls.reduce(0) { $0 + $1.evaluations } == machine.plan.evaluations)
    }

    @Test(arguments: [
        (ModelFamily.stableDiffusion1, 512, ModelKind.sd1), (.stableDiffusion2, 768, .sd2),
        (.stableDiffusionXL, 1024, .sdxl),
    ])
    func modelsWithoutWeightsAreEnoughToPlan(_ published: ModelFamily, _ native: Int, _ kind: ModelKind) throws {
        let source = ModelSource.withoutWeights(published)
        let model = try ModelDescription(source: source)
        #expect(model.nativeSize == native)
        #expect(model.kind == kind)
        let machine = try machine(source, side: 2 * native) { ($0.method, $0.steps) = (.cut, 4) }
        let calls = EvaluationKind.all(of: machine)
        #expect(calls.reduce(0) { $0 + $1.evaluations } == machine.plan.evaluations)
    }
}
