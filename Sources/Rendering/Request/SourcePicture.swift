import ContentHash
import ImageConditioning
import Sentences
import StrictJSON
import Weights

/// The picture that a render starts from, and a mask of the part to make anew.
public struct SourcePicture: Sendable, Equatable {
    /// The size in pixels. The request has the same size.
    public let width: Int
    public let height: Int
    /// Row by row from the top left, three bytes a pixel: red, green, blue.
    public let rgb: [UInt8]
    /// Row by row, one byte a pixel: 1 where the picture is made anew, 0 where it stays. nil for the whole picture (img2img).
    public let mask: [UInt8]?

    /// - Throws: `.invalidRequest` if pixels and size do not fit, if the mask holds other numbers or no 1, or if picture and
    ///   mask are too large for one message.
    public init(width: Int, height: Int, rgb: [UInt8], mask: [UInt8]? = nil) throws(RenderError) {
        let sides = 1...RenderRequest.sideLimit
        guard sides.contains(width), sides.contains(height), rgb.count == width * height * 3 else {
            throw .invalidRequest(
                "The pixels of the picture to start from do not fit its size of \(width)×\(height).",
                about: .initImg)
        }
        if let mask {
            guard mask.count == width * height, mask.allSatisfy({ $0 <= 1 }) else {
                throw .invalidRequest("The mask must have \(width)×\(height) pixels, each 0 or 1.", about: .mask)
            }
            guard mask.contains(1) else {
                throw .invalidRequest(
                    "The mask marks no pixel, so nothing would be made anew: paint the part to change, white on black or in "
                        + "any colour on a transparent layer.", about: .mask)
            }
        }
        try Self.checkSize(width: width, height: height, masked: mask != nil)
        (self.width, self.height, self.rgb, self.mask) = (width, height, rgb, mask)
    }

    /// Throws `.invalidRequest` for a picture that is too large for one message.
    public static func checkSize(width: Int, height: Int, masked: Bool) throws(RenderError) {
        let bytes = width * height * (masked ? 4 : 3)
        guard bytes <= TaskLimits.messageBytes else {
            throw .invalidRequest(
                "The picture to start from has \(bytes >> 20) MiB of pixels with its mask, and at most "
                    + "\(TaskLimits.messageBytes >> 20) MiB can be sent: scale it down.", about: .initImg)
        }
    }
}

extension SourcePicture {
    /// 1 where a latent point is made anew; nil without a mask. The top left pixel of a latent point decides.
    func latentMask(scale: Int) throws(RenderError) -> [Float]? {
        guard let mask else { return nil }
        do {
            return try InpaintMask(mask.map { Float($0) }, height: height, width: width).latentMask(scale: scale)
        } catch {
            throw .invalidRequest(Sentence(error.message), about: .mask)
        }
    }

    /// The picture in a request. Its pixels are beside the object on the wire.
    var json: JSONValue {
        var object = JSONObject()
        object["width"] = .integer(Int64(width))
        object["height"] = .integer(Int64(height))
        object["masked"] = .bool(mask != nil)
        object["sha256"] = .string(hash.hex)
        return .object(object)
    }

    /// The pixels, then the mask if there is one.
    var payload: [UInt8] { rgb + (mask ?? []) }

    private var hash: SHA256Digest {
        let hasher = SHA256Hasher()
        hasher.update(rgb)
        if let mask { hasher.update(mask) }
        return hasher.finalize()
    }

    /// Throws `.invalidRequest` if the pixels do not fit the JSON.
    init(json: JSONValue, payload: [UInt8]) throws(RenderError) {
        guard let object = json.objectValue else {
            throw .invalidRequest("The request's \"source\" must be an object, not \(json.kindName).", about: .initImg)
        }
        let fields = JSONFields(object) { fault -> RenderError in
            if fault.need == .absence {
                return .invalidRequest("The request's \"source\" has no setting \"\(fault.key.prefix(60))\".", about: .initImg)
            }
            let found = fault.value == nil ? "no \(fault.key), which must be \(fault.need)" : fault.found
            return .invalidRequest("The request's \"source\" has \(found).", about: .initImg)
        }
        try fields.only(["width", "height", "masked", "sha256"])
        let width = try fields.required("width", .integer(1...RenderRequest.sideLimit))
        let height = try fields.required("height", .integer(1...RenderRequest.sideLimit))
        let isMasked = try fields.required("masked", .flag())
        let expected = try fields.required("sha256", SHA256Digest.shape)
        let pixels = width * height
        guard payload.count == pixels * (isMasked ? 4 : 3) else {
            throw .invalidRequest(
                "The picture to start from has \(payload.count) bytes, which do not make \(width)×\(height) pixels.",
                about: .initImg)
        }
        try self.init(
            width: width, height: height, rgb: Array(payload[..<(pixels * 3)]),
            mask: isMasked ? Array(payload[(pixels * 3)...]) : nil)
        guard hash == expected else {
            throw .invalidRequest(
                "The picture to start from does not have the SHA-256 that the request names.",
                about: .initImg)
        }
    }
}
