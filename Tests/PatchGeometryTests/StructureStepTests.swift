import PatchGeometry
import RandomStreams
import TestSupport
import Testing

/// The structure steps, and the draws of several of them in a row (vectors G4 and G6 of the specification).
@Suite struct StructureStepTests {
    private enum Phase { case structure, detail }

    /// The phases by the reference's loop, which compares the step with N · p as doubles. nil if it never relocates.
    private func reference(_ steps: Int, _ fraction: Double) -> [Phase]? {
        let boundary = Double(steps) * fraction
        guard (0..<steps).contains(where: { Double($0) == boundary }) else { return nil }
        return (0..<steps).map { Double($0) < boundary ? .structure : .detail }
    }

    /// Rounded up in exact arithmetic everywhere; equal to the reference's own list wherever it has one.
    @Test(arguments: [2, 25, 49, 50, 90], [5, 7]) func everyStepHasItsPhase(_ steps: Int, _ tenths: Int) throws {
        let fraction = try #require(StructureFraction("0.\(tenths)"))
        let boundary = (steps * tenths + 9) / 10
        let expected = reference(steps, Double(tenths) / 10)
        #expect((expected != nil) == [[2, 5], [50, 5], [90, 5], [50, 7]].contains([steps, tenths]))
        guard boundary < steps else {
            #expect(throws: GeometryError.self) { try fraction.structureCalls(of: steps) }
            return
        }
        let structureCalls = try fraction.structureCalls(of: steps)
        #expect(structureCalls == boundary)
        if let expected {
            #expect((0..<steps).map { $0 < structureCalls ? Phase.structure : .detail } == expected)
        }
    }

    /// Three steps from one generator: a fresh permutation for each channel, row and column, in this order.
    @Test(arguments: [4, 9, 16]) func permutationsAreDrawnStepByStep(_ count: Int) {
        let (channels, area) = (4, 30)
        var numbers = TestNumbers(seed: UInt64(count))
        let patches = (0..<count).map { _ in numbers.floats(channels * area) }
        var (generator, byHand) = (TorchCPUGenerator(seed: 6), TorchCPUGenerator(seed: 6))
        var seen: [[[Float]]] = []
        for _ in 0..<3 {
            let orders = (0..<(channels * area)).map { _ in byHand.permutation(count: count) }
            let interaction = PixelInteraction(patchCount: count, positionCount: channels * area) { _ in
                generator.permutation(count: count)
            }
            let shuffled = interaction.shuffle(patches)
            for n in 0..<count { #expect(shuffled[n] == orders.indices.map { patches[orders[$0][n]][$0] }) }
            #expect(interaction.restore(shuffled) == patches)
            // The channels of a point do not move together.
            #expect((0..<area).contains { Set([orders[$0], orders[area + $0], orders[2 * area + $0]]).count > 1 })
            seen.append(shuffled)
        }
        #expect(generator == byHand && seen[0] != seen[1] && seen[1] != seen[2])
    }
}
