import Testing

@testable import Samplers
@testable import Weights

/// `Weights` chooses a scheduler that can begin with pure noise, and `Samplers` refuses schedulers that cannot: both must
/// agree.
@Suite struct ZeroSNRTests {
    @Test func bothListsAgree() {
        for name in ModelMarks.zeroSNRClasses {
            #expect(SamplingMethod(className: name)?.traits.allowsZeroSNR == true, "\(name)")
        }
        for method in SamplingMethod.allCases {
            guard let name = method.traits.className else { continue }
            #expect(ModelMarks.zeroSNRClasses.contains(name) == method.traits.allowsZeroSNR, "\(name)")
        }
    }
}
