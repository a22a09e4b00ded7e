/// Computed by an independent program from the definition in `HashStream`.
enum HashStreamVectors {
    static let first: [UInt64] = [0xF192_64EC_81B7_7BD5, 0xA9D7_508C_3805_069E, 0xC6A1_B6A6_0DA6_36CC]
    static let second: [UInt64] = [0xC999_B456_78BF_7407, 0x61D0_7720_54E7_B010, 0x2312_FCC0_F235_5F90]
    static let third: [UInt64] = [0x1282_9520_37C6_C27F, 0x2999_C969_DBCC_031D, 0xD593_D1C2_5585_0317]
    static let permutation = [1, 0, 2, 8, 7, 5, 3, 4, 6]
}
