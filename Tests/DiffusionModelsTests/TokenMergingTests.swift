import Acceleration
import RandomStreams
import TensorCore
import TestSupport
import Testing

/// Matching, merging and unmerging: the vectors G3 to G9 and G15 of the specification.
@Suite struct TokenMergingTests {
    private let context: ComputeContext

    init() throws { context = try ComputeContext(threads: 1) }

    private struct Plan {
        var sources: [Int32]
        var destinations: [Int32]
        var groups: TokenGroups
    }

    private func plan(_ x: Tensor, _ cells: MergeCells, merging count: Int, seed: UInt64?) -> Plan {
        var choices = cells.fixedChoices
        if let seed {
            var generator = TorchCPUGenerator(seed: seed)
            choices = cells.referenceChoices(&generator)
        }
        return plan(x, cells.split(choices), merging: count)
    }

    private func plan(_ x: Tensor, _ split: (sources: [Int32], destinations: [Int32]), merging count: Int) -> Plan {
        let (scores, best) = context.bestMatches(x, sources: split.sources, destinations: split.destinations)
        let groups = TokenGroups(
            merging: count, sources: split.sources, destinations: split.destinations, scores: scores, best: best)
        return Plan(sources: split.sources, destinations: split.destinations, groups: groups)
    }

    private func merge(_ x: Tensor, _ groups: TokenGroups) -> Tensor {
        context.averageTokens(x, offsets: groups.offsets, members: groups.members)
    }

    private func unmerge(_ x: Tensor, _ groups: TokenGroups) -> Tensor {
        context.gatherTokens(x, groups.groupOfToken, perImage: true)
    }

    /// The merges of one image, as source>destination, and the sources that stay alone.
    private func told(_ plan: Plan, image: Int = 0) -> (pairs: Set<String>, alone: Set<Int>) {
        let groups = plan.groups
        var (pairs, alone): (Set<String>, Set<Int>) = ([], [])
        for group in 0..<groups.groups {
            let place = image * groups.groups + group
            let members = groups.members[Int(groups.offsets[place])..<Int(groups.offsets[place + 1])]
            guard let first = members.first else { continue }
            if !plan.destinations.contains(first) { alone.insert(Int(first)) }
            for member in members.dropFirst() { pairs.insert("\(member)>\(first)") }
        }
        return (pairs, alone)
    }

    private func sums(_ x: Tensor) -> (Double, Double) {
        (x.array.reduce(0) { $0 + Double($1) }, x.array.reduce(0) { $0 + Double(abs($1)) })
    }

    private func close(_ a: (Double, Double), _ sum: Double, _ size: Double) -> Bool {
        abs(a.0 - sum) < 1e-4 && abs(a.1 - size) < 1e-4
    }

    private func specified(images: Int, tokens: Int) -> Tensor {
        Tensor(SpecificationTokens.values(images: images, tokens: tokens, width: 8), shape: [images, tokens, 8])
    }

    private func words(_ text: String) -> Set<String> { Set(text.split(separator: " ").map(String.init)) }

    private let four = MergeCells(height: 4, width: 4, cellHeight: 2, cellWidth: 2)

    @Test func fixedDestinations() {
        let x = specified(images: 2, tokens: 16)
        let plan = plan(x, four, merging: 8, seed: nil)
        #expect(told(plan).pairs == words("7>10 9>10 12>10 3>8 6>8 5>2 14>8 13>0") && told(plan).alone == [15, 4, 11, 1])
        #expect(told(plan, image: 1).pairs == words("13>0 1>8 5>0 4>2 14>8 15>2 9>0 3>2"))
        #expect(told(plan, image: 1).alone == [6, 11, 7, 12])
        let merged = merge(x, plan.groups)
        #expect(merged.shape == [2, 8, 8] && close(sums(merged), 4.261468, 28.477278))
        let whole = unmerge(merged, plan.groups)
        #expect(close(sums(whole), 0.670245, 51.692801))
        let first: [Float] = [
            0.407444, 0.039625, 0.18423, -0.361532, -0.081956, 0.18423, -0.361532, -0.292101, -0.361532, -0.292101, -0.292101,
            0.428026, -0.292101, 0.407444, -0.361532, 0.262687,
        ]
        for (token, value) in first.enumerated() { #expect(abs(whole.array[token * 8] - value) < 1e-5) }
    }

    @Test func drawnDestinations() {
        let x = specified(images: 2, tokens: 16)
        let plan = plan(x, four, merging: 8, seed: 42)
        #expect(told(plan).pairs == words("10>7 6>14 3>7 13>4 2>8 0>7 12>14 5>4") && told(plan).alone == [9, 11, 1, 15])
        #expect(told(plan, image: 1).pairs == words("1>8 15>7 2>4 5>4 10>8 12>14 9>7 11>7"))
        #expect(told(plan, image: 1).alone == [13, 3, 0, 6])
        let merged = merge(x, plan.groups)
        #expect(close(sums(merged), 2.913209, 29.207472))
        #expect(abs(sums(unmerge(merged, plan.groups)).1 - 53.235478) < 1e-4)
    }

    @Test func raggedGridsAndWideCells() {
        let ragged = specified(images: 1, tokens: 35)
        let cells = MergeCells(height: 5, width: 7, cellHeight: 2, cellWidth: 2)
        let plan = plan(ragged, cells, merging: 17, seed: 0)
        #expect(
            told(plan).pairs
                == words("13>5 7>10 27>24 33>26 20>10 6>14 29>10 17>5 34>24 28>26 9>10 21>5 12>10 1>24 4>26 25>26 3>10"))
        let merged = merge(ragged, plan.groups)
        #expect(merged.shape == [1, 18, 8])
        let two = Tensor(SpecificationTokens.values(images: 2, tokens: 35, width: 8), shape: [2, 35, 8])
        let both = self.plan(two, cells, merging: 17, seed: 0)
        #expect(close(sums(merge(two, both.groups)), 4.083294, 65.152589))
        #expect(close(sums(unmerge(merge(two, both.groups), both.groups)), 0.23107, 112.282058))

        let wide = specified(images: 1, tokens: 24)
        let wideCells = MergeCells(height: 4, width: 6, cellHeight: 2, cellWidth: 3)
        let widePlan = self.plan(wide, wideCells, merging: 12, seed: 7)
        #expect(
            told(widePlan).pairs
                == words("5>13 21>13 7>10 20>10 14>6 22>17 4>6 3>17 2>17 0>10 9>10 11>17"))
        #expect(close(sums(merge(wide, widePlan.groups)), -0.009182, 23.62024))
        #expect(abs(sums(unmerge(merge(wide, widePlan.groups), widePlan.groups)).0 + 1.729051) < 1e-4)
    }

    /// Destinations stay: a cell of four tokens loses at most three.
    @Test func theRatioIsCapped() {
        let x = specified(images: 1, tokens: 16)
        let plans = [0.75, 0.9, 1].map { plan(x, four, merging: TokenMerging(ratio: $0).mergedCount(of: 16), seed: nil) }
        #expect(plans[0].groups == plans[1].groups && plans[1].groups == plans[2].groups)
        let merged = merge(x, plans[2].groups)
        #expect(merged.shape == [1, 4, 8] && close(sums(merged), -0.672616, 4.909251))
    }

    @Test func ofEqualTokensTheLowestGoFirst() {
        let plan = plan(Tensor(repeating: 1, shape: [1, 16, 8]), four, merging: 5, seed: nil)
        #expect(told(plan).pairs == words("1>0 3>0 4>0 5>0 6>0"))
    }

    @Test func mergingAndUnmergingFit() {
        var generator = SeededGenerator(seed: 3)
        for round in 0..<40 {
            let (height, width) = (Int.random(in: 2...40, using: &generator), Int.random(in: 2...40, using: &generator))
            let cells = MergeCells(
                height: height, width: width, cellHeight: .random(in: 1...4, using: &generator),
                cellWidth: .random(in: 2...4, using: &generator))
            guard cells.count > 0 else { continue }
            var numbers = TestNumbers(seed: UInt64(round))
            let x = Tensor(numbers.floats(2 * height * width * 5), shape: [2, height * width, 5])
            let count = Int(Double(height * width) * Double.random(in: 0...1, using: &generator))
            let plan = plan(x, cells, merging: count, seed: UInt64(round))
            let merged = merge(x, plan.groups)
            let whole = unmerge(merged, plan.groups)
            #expect(whole.shape == x.shape && merged.shape[1] == max(height * width - count, cells.count))
            #expect(Closeness(merge(whole, plan.groups).array, merged.array).within(largest: 1e-6))
            #expect(Closeness(unmerge(merge(whole, plan.groups), plan.groups).array, whole.array).within(largest: 1e-6))
            #expect(abs(sums(whole).0 - sums(x).0) < 1e-3, "means times sizes are the tokens' sum")
            let ones = Tensor(repeating: 1, shape: x.shape)
            #expect(unmerge(merge(ones, plan.groups), plan.groups).array == ones.array)
        }
    }

    @Test func theOrderOfTheListsChangesNothing() {
        var generator = SeededGenerator(seed: 8)
        let x = specified(images: 2, tokens: 64)
        let cells = MergeCells(height: 8, width: 8, cellHeight: 2, cellWidth: 2)
        let split = cells.split(cells.fixedChoices)
        let groups = plan(x, split, merging: 30).groups
        let shuffled = plan(
            x,
            (split.sources.shuffled(using: &generator), split.destinations.shuffled(using: &generator)), merging: 30
        ).groups
        #expect(groups != shuffled)
        #expect(unmerge(merge(x, groups), groups).array == unmerge(merge(x, shuffled), shuffled).array)
        let attended = [groups, shuffled].map { groups in
            let few = merge(x, groups)
            return unmerge(context.attention(query: few, key: few, value: few, heads: 2), groups).array
        }
        #expect(Closeness(attended[0], attended[1]).within(largest: 1e-6))
    }
}
