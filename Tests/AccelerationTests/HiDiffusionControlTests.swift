import Acceleration
import Testing

/// Vector G26 of the specification of CutDiffusion and HiDiffusion. The tests of the operators (G16) cover the resizing of
/// latents and residuals.
@Suite struct HiDiffusionControlTests {
    @Test func theLongerSideIsNative() {
        for (input, size) in [
            ((192, 256), (96, 128)), ((208, 304), (80, 128)), ((256, 256), (128, 128)), ((120, 64), (128, 64)),
            ((128, 128), (128, 128)), ((512, 256), (128, 64)), ((1, 4096), (8, 128)),
        ] {
            #expect(HiDiffusionControl.size(height: input.0, width: input.1) == size, "\(input)")
        }
    }

    /// The first step without the ControlNet, by the specification's table.
    @Test(arguments: [(1, 1), (2, 2), (4, 3), (8, 5), (20, 12), (25, 15), (30, 18), (50, 30), (100, 60)])
    func itTakesPartInTheFirstSteps(_ steps: Int, _ first: Int) {
        let taking = (0...steps).map { HiDiffusionControl.takesPart(step: $0, of: steps) }
        #expect(taking == (0...steps).map { $0 < first })
    }
}
