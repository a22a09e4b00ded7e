import ImageQuality
import Rendering
import Testing

@testable import MethodComparison

@Suite struct QualityTests {
    static func plan(width: Int, height: Int, _ change: (inout RenderRequest) -> Void) throws -> RenderPlan {
        var request = RenderRequest()
        (request.prompt, request.width, request.height) = ("a red apple", width, height)
        change(&request)
        return try RenderMachine(request: request, model: RecipeTests.model.get()).plan
    }

    @Test func bordersLieWhereViewsEnd() throws {
        // Windows of 128 px every 64 px: at 0, 64, 128 of 256 px, and at 0, 64 of 192 px.
        let cut = try Self.plan(width: 256, height: 192) { ($0.method, $0.jitter) = (.cut, 0) }
        let borders = try #require(InnerBorders(cut))
        #expect(borders.columns == [64, 128, 192] && borders.rows == [64, 128])
        // The last window is pulled back to the edge: at 0, 96, 136 of 264 px, and one window across 128 px.
        let uneven = try Self.plan(width: 264, height: 128) {
            ($0.method, $0.stride, $0.jitter) = (.cut, 96, 0)
        }
        let pulled = try #require(InnerBorders(uneven))
        #expect(pulled.columns == [96, 128, 136, 224] && pulled.rows.isEmpty)
        #expect(InnerBorders(try Self.plan(width: 256, height: 256) { $0.method = .direct }) == nil)
        // Blended tiles of 128 px every 96 px, from 0 to 192 of 256 px.
        let blended = try Self.plan(width: 256, height: 128) { ($0.method, $0.vaeTiling) = (.direct, .blend) }
        let fading = try #require(InnerBorders(blended))
        #expect(fading.columns == [96, 128, 192, 224] && fading.rows == [96])
        // Views that move have their borders at other places in every call.
        #expect(InnerBorders(try Self.plan(width: 256, height: 192) { $0.method = .cut }) == nil)
    }

    @Test func aPictureIsMeasuredAgainstTheNativeOne() throws {
        let cut = try Self.plan(width: 256, height: 256) { ($0.method, $0.jitter) = (.cut, 0) }
        let direct = try Self.plan(width: 128, height: 128) { $0.method = .direct }
        let small = RGBImage(width: 128, height: 128, rgb: (0..<128 * 128 * 3).map { UInt8(truncatingIfNeeded: $0 / 3 * 2) })
        var doubled: [UInt8] = []
        for y in 0..<256 {
            for x in 0..<256 {
                let source = ((y / 2) * 128 + x / 2) * 3
                doubled += small.rgb[source..<source + 3]
            }
        }
        let large = RGBImage(width: 256, height: 256, rgb: doubled)
        let native = PictureQuality(of: small, plan: direct, native: nil, nativeSide: 128)
        #expect(native.similarity == nil && native.seams == nil && native.sharpness > 0)
        let quality = PictureQuality(of: large, plan: cut, native: small, nativeSide: 128)
        #expect(try abs(#require(quality.similarity) - 1) < 1e-9)
        #expect(quality.seams != nil)
    }
}
