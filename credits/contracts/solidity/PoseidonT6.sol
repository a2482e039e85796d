// SPDX-License-Identifier: MIT OR Apache-2.0
// Written by `credits/contracts/src/poseidon.rs`, which explains it; `cargo run --bin poseidon` writes it again.
pragma solidity 0.8.37;

/// Poseidon of 5 elements, each below r: what is not must not come here.
library PoseidonT6 {
    /// Puts the round constants into memory, and room for the lanes behind them; `hash` wants their address.
    function load() internal pure returns (uint256 table) {
        bytes memory constants =
            hex"1448614598e00f98e7ae7dea45fbd83bd968653ef8390cde2e86b706ad40c651"
            hex"0ab7b291388e5c9e43c0dc1f591fb83ecdb65022e1b70af43b8a7b40c1dff7c3"
            hex"2b7cbb217896f52c9a8c088e654af21e84cde754a3cef5b15c4d5466612d6adf"
            hex"2bc6b0ddbe1d701b6570428bdc1ca1bf0da59ff3bbbb95fc2bc71c0c6e67a65c"
            hex"123a55a31980384f3d20b2cecbc44ed60c38c11f7d20e9271efab9a905eefd3c"
            hex"037501cc8c9dc819309a769f4df098e588b01858bc8eb7e279e2883be9fb8c53"
            hex"1c2116e47e03a86bb11695b0a5f6dab6b9a460b1eb951ab01c259eca3fd47d51"
            hex"2c18213489032e85a9c8cb8e9a65839bfaed13e57bc0fae49dbdaebf54f56f93"
            hex"2ee8fed3d4d2c71a0429eafd8e5db1718f29e2227985fdf2ad8703c835b9e031"
            hex"28c64d8f5ed7aac004c92029d9e9bf91ba9436d1cce94b9316d111c70a0c1714"
            hex"18a01d9ffb747ae0de3e83c707f8b24f682c84f15abf571b34254a03478665e0"
            hex"1c21d92bef197e73b234e4777b60db14e642a56cee71515d54e1ac71cde72bd3"
            hex"0ad404ccbcb1e195897cb60c80981ebb9d66a6677dbbedad8b6455fe62d807b1"
            hex"0a9b6de833064f93b6adb99af6c005945cb654cb7bd14c8b97af8b60cc1fb387"
            hex"13129e3f930aed6d47690331ff09dc5160efa58ddce2c3e6180d45bec3aa3a6f"
            hex"0d7a614c8991508ab1ce4895813bb1c82f18bf7bfc9e280ccca18079839387f1"
            hex"0532f7ec36e30041b0486986875c913a49bddf2f5af5febe8c31f2f4094ffea5"
            hex"06bbcb8e8e180201293e712f4950f1b0bbee808c9d64263c84d9d8ae155cb892"
            hex"0f558a4db1a3ac07f61e2e6bee947f73586bf40f211ceb4f687ca5678a9dcb33"
            hex"2be140a60b5b5f2f8edd78a818a969b20c643e419bcf0b577c24a0d0e7acfe98"
            hex"1c49c4b9a9f09f7b9ad5f74ebacc710512b8e867bace27cb0dea06e89b96f631"
            hex"170c1a732721b12cde7f33e476a39a1aa77a81c06e2eac503847b00d597652db"
            hex"19c27d0e52f65ca34f4e31a068e49331c6bfc39d9241f9d4c302041615cf27f1"
            hex"2f1bdc5254f9220c1a731fc5276964dab26b385fa40b6b04bed9960e2543ba08"
            hex"18e60bdf40bfa6c3f2f641cdedb1d125aa1bf48a1fc6ca29fc1fdcf77716aad1"
            hex"20c23beb320a05d0caa84b45c69d5e6c74735bb753259bba9c44c2fb7bd8affa"
            hex"0d62aaf2398fca2276abef4ce6c6aabc3b844541fe6b5c747218948a90bc2e2f"
            hex"2d63d89510e2b77228628132e7f7d33a5b5a4f5a9be8c35762ff8665d0d28a5a"
            hex"0b95bf29f9682370c734ea3fac76dbf64b2ba70c0066cb7f0c31c0cc5571eb21"
            hex"21d15a0578a1a4dad8cb44a77068cc48053a27d371f73e23d123dbf6ff17910f"
            hex"02174f49edb02d5154d2beca2dc92b9cc595383da1fde8f09e4b5ee3ea5a065e"
            hex"0f64891c2c8b020e46c3594cb758f0bddcdbd09bd0308816fb41734a869872c3"
            hex"192a84ca2f99d36991e2d2b1deff3989d1c156c239e10e9f56140e1854576067"
            hex"29dfcd7b63f05abf2753a8c341d6b7a60c6243b04c9a1b8b3320bba04a4d4787"
            hex"1ee27ad6b9b5a867733afc61a2b3e76a52ba3e4bd5e657ade91fc038819dba5b"
            hex"0ab4773f150c3f8ad3bc9538f43cec395a7e3731ae973fefeb623a09217e64c7"
            hex"13c352a02f595186202cb0b99fa58c5542ab67f9b6d3a0afd103deeff6d80f41"
            hex"2a97cf2c10c4bfbfd299f67c52a169f92c05b7dac56a41c4dd4fe87c8246ce14"
            hex"00becbb47042bd7f8c9f6bb422162d1aed089a28482f7fd16ab06a13285fe702"
            hex"008e44da21d738691b881757ef37ed29c5bd9f7a4450fcf53290a92cc2ca2176"
            hex"2b205a8b6d4b7063d931f3bb5d3464053843fe7fbe4b83c17883f86527882a18"
            hex"2d9e32a7c90556fe108d255ac01e75df338fcd63b2bf84c19280d427298863fc"
            hex"29a322a84c25bd2ddf6e2e4200228d95abd6349a02266ac1dbba520738ceca97"
            hex"0678c9bfc6f2df012f4fe55e33bb68ac14ced1df0d02152792089d046d828c43"
            hex"0faff3a5e7425794fe20a7e0eb615b8b1760394b7f2304286a3ae4009124db23"
            hex"1f8f5b611af9feb9cea86c084058120553e404103aee213f5a41d1d02541c0d3"
            hex"160875d8479602f96f40acc2d042ee52c1588b6a29de4284965a6dc6c930ea07"
            hex"16d87a5183a316a1d70afc951efe2cd667c77328fcfda458cbf5fe3045f46d9e"
            hex"05b42d2fbccbf4d39d2be9339cabe9d0dc6d921e855cd91154b639d28d4a1cf0"
            hex"02a57ec597841b7af6bb2c15136d02dd3284ed95445ee5fb18c8c94c1fc12642"
            hex"2a5e087184dfb25ba6d5627b5b72c73cb9642bd570af6e035486254077315cf8"
            hex"20c1c5f8313fa7339a150138664988c27adc409527370e306cf1ac6638fc7ac2"
            hex"2d54d9d5ac04f5130f017588029427f9d82e8a9a55cabaa64b8cf36071ba5298"
            hex"1b48299e9aac042b5fe7a382730567759a9b4cba92f931b395c4c760b5376d67"
            hex"13c5df8c934479d17316546f9a28447464c87a224935518830493e7c280679d9"
            hex"2b6ed97d0659e356d7e3b026acb0c688cc27b260489196688d0cd5787af549db"
            hex"100d549f7e69393a119e8d65d614d761b6e70fc29fc8bfd1a0fe536a962985ff"
            hex"259ae53a9c98a3836dd45d757d3a728b65c898c32d4dabdd0079fe0134e70953"
            hex"184658bef5899e86519c1645bbe06c712d3fbaaecdf5072d6eafb0653ba8ac5b"
            hex"0d9b29ccd4f14175ca5aad76d44cd2b5d557f3199aadb650071b0aa6e80fd3eb"
            hex"130233d86e2f179f5cdbaaf7b7e67bbfb24ed7b9572b8a45c90140bcf0d18caf"
            hex"19301899b379d8648d56410e9a77e85c3ea7da3f276b424fbe301fdf6e924436"
            hex"18dc523eab2465bbee60aacf190f5dd5de09927aaf0f276a002fd9887fd4e047"
            hex"29f972bdb996981c25d4ac5743d81cf07b2be6a933148c5bfbb47ae73deaf213"
            hex"20b3a21dafb023941e2d39445a4c39e7fce2b7130b24e9abb64bff1c4b928dea"
            hex"0db5d6ef51635ebdb0a8d99240fe447399c7e7aace53be14c55699b18c870833"
            hex"0388351fc916a7f96871f2e78dac05d6dbc67b92fa92d5e4cc6042aaab2e3b78"
            hex"0dce204ff463be58372777ea1194ee74d54b0015119706810787acc52e8f58e0"
            hex"2e366c10c0e5096449960e8f0c4843ca8e3b35b64f0c4aa928e1d4adf1730d42"
            hex"14aa7a383350de3271e2cc2ce77d4070499786a2d0c2261afbb8762d7b575401"
            hex"253def0717c4a3046fbcfae38547107257ea7e6b7a060ed1990ae2b7c5d253b2"
            hex"08d522e9d831b5a1acc3f72c633798e4272dea3b1866b153381dab49040612e2"
            hex"29762c3acadf8ad7ebb4f1e6829bb5a934c601329f8e1d11f03c8c9469e4da32"
            hex"0cf0ff462256d7ac257d897ea858afd78311a899b1d8b7ffb2c56403e9f67c3f"
            hex"2d8bd5a193f01a6023e4d18dfa3f5583140282becd925b763fd874a6829bdc08"
            hex"105342c6d8ff2a2c89460046ceaffcf87e9edca08d55981091348b9735093265"
            hex"26e36ca28958b6be8db38d45a4be7f24724424ce515b8538ff5da1c0dbadccc5"
            hex"09df39a7947b44ae119139dcd929175be78185e664539c3b43c826f14e2e9bc7"
            hex"1f6840920d337ac2ebc04dbba388e9e95bdccfd90e26d9129b79612a24d96db7"
            hex"25c2790d7d94c1e2c71753d23e19818674648c435e50f1efb08c97364116226f"
            hex"129c19bc66372c6f050005b7f59df3f24d995a9700c1171e56148e8c890bc26c"
            hex"06302e0a9d3fee5b05e03d52d9f48df083261cdbac469165235a12b68d0120c6"
            hex"03f434c3ae6118516749f300c2057c304fa0b27953903ef7142c711e87c51540"
            hex"07759c05e52314d2ca911fbdf1cb2ce2bef47e496c77ad0c9826b2521949349d"
            hex"24a084e5fbbe3d9b7e003bb9ad177b01755ce7e5378a8b934b23eafe9c273f7b"
            hex"19bc6c8d09e10f91b1271effb722978063d58c5d7b7753beff806c14545aa206"
            hex"1df0cbb25ce3e97d538e75b7b7a71b2383f74622f8f40e0066898d9e383eda4a"
            hex"0ea9a19e365eddbc3f3be5389a70eb35364a003a83c87d60444603d2d9612b38"
            hex"00b3b601b74801b1c15f5d2df2d54db2eeae19e3a8abb8498ed2a086093e5357"
            hex"0ae15833e4f8b46b03201183501339a7c09a6a09a27ffc489c994b0df3768324"
            hex"0c4b91efcc1758392eb5566acc68ffad0d265eeb2f9004732d68e19e713b55f9"
            hex"2d16a37374a8f5387f56b0e0b0ed5462405fc6481c5b7397ac053bdbf033ba38"
            hex"20215f2e35364215a29a6a23c201efa57ef55797a7227935490e1f7b965dba4b"
            hex"1d363a2a4ba0c9c5910dab8aee6e153fc42be64f2e1ee20f1ecd55a94d5dce33"
            hex"0e39c4b9177d76efc777c30c50038a2b0e6aacf3f655a12f17d2e162e05e802c"
            hex"23eee395fc613a9edb2ca2aecbf6cb3d213f701395837d336053cb3540e714f3"
            hex"1cc34d4d6ff96c4904c17cf32e1adbecae22726c73ed4f9680b9da6205ecefd0"
            hex"0768a9f9b5dc3a9939b1c1209ac74f0520274b97fb689c864700c8b57d496a70"
            hex"2b6d8d1929ca88aefbd5347dff4937094138f407968cb90d13e54472e43354ed"
            hex"1b2e61b7ab48ece369f3d63e551b099e79afb01c52bd444ac899c19bdbd5e5e7"
            hex"18a9074b6fb9275e6168ba4b166a42d8cfacd46921db7ced5f2bc242b7cceedf"
            hex"2c69737d4c0c9edc94bb5133461d1237c83994fb6219497890d369bf159c432f"
            hex"27291b04a9d5ecd6fa18bdbb87b58a64cfb8c575d54f1ed469809807f3154bae"
            hex"185ab1c008c6d2fd5594860aa59fbec514f546a6e1a2aa3d561c8c1e5e19f721"
            hex"170ef28a1802bc5ce71537091d895989d26100d1e4086289fbd4e4f069462c9a"
            hex"0a581bc68219a9260302740cabbbdec06c946da5859cde180c68c83dca9f2613"
            hex"1af2fddfbc56f21ad21c7483070b8174bb3d0f383f3c2605d33a2d28eb7f6842"
            hex"0ddff45972431b0324203dded64f7aac309942b0cfce737f1502129a7d2e6401";
        assembly ("memory-safe") {
            table := add(constants, 32)
            mstore(0x40, add(mload(0x40), 192))
        }
    }

    /// The hash, below r.
    function hash(uint256 table, uint256 a1, uint256 a2, uint256 a3, uint256 a4, uint256 a5) internal pure returns (uint256 digest) {
        assembly ("memory-safe") {
            function full(ptr, lanes) {
                let r := 0x30644e72e131a029b85045b68181585d2833e84879b9709143e1f593f0000001
                let q
                let x0 := add(mload(add(lanes, 0)), mload(add(ptr, 0)))
                q := mulmod(x0, x0, r)
                x0 := mulmod(mulmod(q, q, r), x0, r)
                let x1 := add(mload(add(lanes, 32)), mload(add(ptr, 32)))
                q := mulmod(x1, x1, r)
                x1 := mulmod(mulmod(q, q, r), x1, r)
                let x2 := add(mload(add(lanes, 64)), mload(add(ptr, 64)))
                q := mulmod(x2, x2, r)
                x2 := mulmod(mulmod(q, q, r), x2, r)
                let x3 := add(mload(add(lanes, 96)), mload(add(ptr, 96)))
                q := mulmod(x3, x3, r)
                x3 := mulmod(mulmod(q, q, r), x3, r)
                let x4 := add(mload(add(lanes, 128)), mload(add(ptr, 128)))
                q := mulmod(x4, x4, r)
                x4 := mulmod(mulmod(q, q, r), x4, r)
                let x5 := add(mload(add(lanes, 160)), mload(add(ptr, 160)))
                q := mulmod(x5, x5, r)
                x5 := mulmod(mulmod(q, q, r), x5, r)
                mstore(add(lanes, 0), addmod(add(add(add(add(mulmod(x0, 0x124666f80561ed5916f2f070b1bd248c6d53f44d273d956a0c87b917692a4d18, r),
                        mulmod(x1, 0x11924f02fd19b09255aaa1cf46ea0518e3d7bfeef47421609491011db0bd0b02, r)),
                        mulmod(x2, 0x247fa7f022304a1994ff505456c2201ef9b717369498d3ffce446601ed9df845, r)),
                        mulmod(x3, 0x03fd7b19ef2c861f22f77ff810f54e277bc94eb76c02d79d986be3dcdf051c3f, r)),
                        mulmod(x4, 0x18bd41239c3e71579a677443ecffbd555a81eeeea69352a68b67c8563c0c2a06, r)),
                        mulmod(x5, 0x2d78c3a5d28de9ff35bf0a257635196e5730ca7f40493277078cd75da8b4ebdc, r), r))
                mstore(add(lanes, 32), addmod(add(add(add(add(mulmod(x0, 0x0a514a5c227f4cec95dfa029e8dd124c34895aa46bb27c0911f3780d5015540a, r),
                        mulmod(x1, 0x192e16d17d956b257b85a652eefdf2ee09589eac5be80915775723d2cb1da06d, r)),
                        mulmod(x2, 0x298ce0c1e3113bb935c7058e7772b533b1aa9db0c0926bdc8917e5605ca3ac10, r)),
                        mulmod(x3, 0x094cb4e83621afd271e41bc71727f0158ebd612239ac9d698b17fe4be05b7fc8, r)),
                        mulmod(x4, 0x03d880395be93c27d649af5fd142e76b33918cb8841d5a28173bd5cf7d328791, r)),
                        mulmod(x5, 0x28eeae6b5866ad68e443bbaf91680db7d7e2b3037e38fef61b42cbccffceca81, r), r))
                mstore(add(lanes, 64), addmod(add(add(add(add(mulmod(x0, 0x278bb49a7b4e44aea46eb0f882cb692801a6e60fdd5b5c23c63cd65ccce4fe0a, r),
                        mulmod(x1, 0x063edec1bed831f506af8db648d6fdea145345887e8bdcff109035a1d9b674d7, r)),
                        mulmod(x2, 0x1baef1cb5509b526a42061fb53657f99b3232500e855192cbe8c940e068c475f, r)),
                        mulmod(x3, 0x1324564ac7bdf9e22164e9858d7fa8e368b165eaea3daf4eb67ee59c0df2e5d4, r)),
                        mulmod(x4, 0x005761b8c6aecb1a8ca4ea4dfc2c8376064a4a8004ceeda210a55240562ddc13, r)),
                        mulmod(x5, 0x10c9e283159d58cb4cb2e35fde83a3ba1fdc28002ed9963d2a99f186178a148d, r), r))
                mstore(add(lanes, 96), addmod(add(add(add(add(mulmod(x0, 0x0c399e9f67aa40707a203feefb0b958bbdadcec5ca34901d253d026a2419f6a2, r),
                        mulmod(x1, 0x083f0df3f1a0351d0330ec3ff602ca8cc353b7f6e762c7107184cd7b423449f6, r)),
                        mulmod(x2, 0x1a6764d5943fc4a720b4c0a19fdb8c711984307287a58b9b5f9f5d58212cb263, r)),
                        mulmod(x3, 0x011a63a26feabf87fa66bde66cc25a922c96382d76c6a7ff48f1537beaed683a, r)),
                        mulmod(x4, 0x08ca7b64657c3548f32bef5b63ad24288a41c0b251099ad27f9434307e3e64d4, r)),
                        mulmod(x5, 0x01998270471e9361955446b0cdb8bea915ec0675f1cd648ddcb04303507a4489, r), r))
                mstore(add(lanes, 128), addmod(add(add(add(add(mulmod(x0, 0x1d6b3d5f6ea369c26f825d2362933eaa31ea35ec0a77c1fbd9e01ca1523e4432, r),
                        mulmod(x1, 0x119ef188bb3dd0d32306976c19941e8664be687e7a69692da27da215a6f06d40, r)),
                        mulmod(x2, 0x2d9e0ab5c06893dfdfd03481381ba86b6e6292df5609d71f2c64b2d9a79f809e, r)),
                        mulmod(x3, 0x25f16631bf77060f7ea34087c025bf135784319ef08cda2e31419ee0a529e658, r)),
                        mulmod(x4, 0x144c7a11da5a7c5dabae3f33fbd03cad86d18bc594c79a497ecb9894edb554f1, r)),
                        mulmod(x5, 0x0f971162627723f3feadacb28b0c104cb8f74de508752fa8d7c0db2af13de8ee, r), r))
                mstore(add(lanes, 160), addmod(add(add(add(add(mulmod(x0, 0x24be510095436206dd0abd0b0cbb95c883ab304aa52598b1a69306ec981a688d, r),
                        mulmod(x1, 0x211610e2ad4a377426fadf7068b0c1a6c299a164c1c1a603eaed944870d0b9b9, r)),
                        mulmod(x2, 0x15a67d981041b1f6f09f3f9ebefd864e779d3af08157786ac077505e50ec79fc, r)),
                        mulmod(x3, 0x049327fa79d28c12a2c82406947f77f06775b0287468b3136877701dbe7c9598, r)),
                        mulmod(x4, 0x230940dcc5232658ff9c29697a3fd416d170e8c998f1aa85dea0c42d79f951aa, r)),
                        mulmod(x5, 0x1b121c049cd1159e289007e0c9da9995cc4bab4c26fb888ec3972a8a2e656964, r), r))
            }
            function last(ptr, lanes) {
                let r := 0x30644e72e131a029b85045b68181585d2833e84879b9709143e1f593f0000001
                let q
                let x0 := add(mload(add(lanes, 0)), mload(add(ptr, 0)))
                q := mulmod(x0, x0, r)
                x0 := mulmod(mulmod(q, q, r), x0, r)
                let x1 := add(mload(add(lanes, 32)), mload(add(ptr, 32)))
                q := mulmod(x1, x1, r)
                x1 := mulmod(mulmod(q, q, r), x1, r)
                let x2 := add(mload(add(lanes, 64)), mload(add(ptr, 64)))
                q := mulmod(x2, x2, r)
                x2 := mulmod(mulmod(q, q, r), x2, r)
                let x3 := add(mload(add(lanes, 96)), mload(add(ptr, 96)))
                q := mulmod(x3, x3, r)
                x3 := mulmod(mulmod(q, q, r), x3, r)
                let x4 := add(mload(add(lanes, 128)), mload(add(ptr, 128)))
                q := mulmod(x4, x4, r)
                x4 := mulmod(mulmod(q, q, r), x4, r)
                let x5 := add(mload(add(lanes, 160)), mload(add(ptr, 160)))
                q := mulmod(x5, x5, r)
                x5 := mulmod(mulmod(q, q, r), x5, r)
                mstore(add(lanes, 0), addmod(add(add(add(add(mulmod(x0, 0x124666f80561ed5916f2f070b1bd248c6d53f44d273d956a0c87b917692a4d18, r),
                        mulmod(x1, 0x11924f02fd19b09255aaa1cf46ea0518e3d7bfeef47421609491011db0bd0b02, r)),
                        mulmod(x2, 0x247fa7f022304a1994ff505456c2201ef9b717369498d3ffce446601ed9df845, r)),
                        mulmod(x3, 0x03fd7b19ef2c861f22f77ff810f54e277bc94eb76c02d79d986be3dcdf051c3f, r)),
                        mulmod(x4, 0x18bd41239c3e71579a677443ecffbd555a81eeeea69352a68b67c8563c0c2a06, r)),
                        mulmod(x5, 0x2d78c3a5d28de9ff35bf0a257635196e5730ca7f40493277078cd75da8b4ebdc, r), r))
                mstore(add(lanes, 32), addmod(add(add(add(add(mulmod(x0, 0x0888977f0006934b7480597c6322d466025ed4a4bf4514b504f6abf6950ccb50, r),
                        mulmod(x1, 0x01e6a0e3d1f4ab1f57390c6b64457a22e7a9076f48931e9d654d2e035df9e683, r)),
                        mulmod(x2, 0x1c3c321243e7ec15ec8775e8bd9e9bbeda4b437cf124fa16b894755db50e3840, r)),
                        mulmod(x3, 0x15cee2d56b91b8fb00bdadbb1883a3e5d77e1a48fdb68781fd99ba090a2e58cc, r)),
                        mulmod(x4, 0x15adee35833fffd47dd990899c7749776a30cbb0b1fb257d4e782ae61ab045c3, r)),
                        mulmod(x5, 0x300b7bbb5d733a31dc87540492a07e62796a54e1e24c2a737f540cf6afe51a7a, r), r))
                mstore(add(lanes, 64), addmod(add(add(add(add(mulmod(x0, 0x29abefe912bda8005e870d46fff2096d43bf156b19bb3dda876a8ab7d08df0a3, r),
                        mulmod(x1, 0x2ee20433a9909d1e666e4fb8909cd70fa0f5c78e2b7b1985e06c45db28e092bf, r)),
                        mulmod(x2, 0x136f7bba9902ecf58284db43209f46549f0dd8accb7dbfe15eb4b0155bb2aea4, r)),
                        mulmod(x3, 0x0315f3ec06df19073d6f93288f81ee28fe8bd7038d69c7bc8d0fa82973ac3456, r)),
                        mulmod(x4, 0x240636e98f4f36235923622a2faf3b01692282ed82b58429919086520ccee77c, r)),
                        mulmod(x5, 0x17332352d9b239a7eb51369bf72037cb93e9f255a6827bdb31e704f0f9c40cd6, r), r))
                mstore(add(lanes, 96), addmod(add(add(add(add(mulmod(x0, 0x15d96d9edf3f60a6517630eea5da336333e6083ce55bfb67db5bf9eb0bb547cf, r),
                        mulmod(x1, 0x05f6ecc5ad9309790ff732ad085df0e94a39d74b390677669576cc0ff2d99b21, r)),
                        mulmod(x2, 0x28c2d9059f4e278743fd9d5a52aa87704722f726e77815417ef1a3f3be5b0ccc, r)),
                        mulmod(x3, 0x067ac9ff0db29c73eb452b08712425cb2b81209d4a67fc0cbfb57cee856d6f85, r)),
                        mulmod(x4, 0x2657e99e31896453664039f6100bb0313bf56546722fce19b7791119f6d552ee, r)),
                        mulmod(x5, 0x2dd2f353b9826fc89b0465478e8017d912a759f53987a4f389c97c858beccaaf, r), r))
                mstore(add(lanes, 128), addmod(add(add(add(add(mulmod(x0, 0x19fd7369a1cec25617d27c14912f4b47a65327df5f40f69964e2bbc38578bcd8, r),
                        mulmod(x1, 0x0ccaa8f370c1aeacf62e01a78dbea41a9e9ad2bf7e75cea4f3943688323f3b22, r)),
                        mulmod(x2, 0x13624d333521604acff6a07e92ab4c4e056a55f0b6963662b56f1a04b7159834, r)),
                        mulmod(x3, 0x2084391a9c0020cab45e226daea00708a69b007efbfdb7bc4fe001a617bd6c74, r)),
                        mulmod(x4, 0x008e2bb7011d91183e631f85ba2f09e2acd2047f1a19208834e47cb7221dcb67, r)),
                        mulmod(x5, 0x099ee0f76124e68e9c3c8b076df8f89359df61fe64074a9ee612c4aca0c41b70, r), r))
                mstore(add(lanes, 160), addmod(add(add(add(add(mulmod(x0, 0x24fc59446c719fce095293450bb189449814283755821f2eb46c1e119d787c94, r),
                        mulmod(x1, 0x15fd345132e785155c7f8cb42a4646d9d9a13056465e96333d06507ae63999ee, r)),
                        mulmod(x2, 0x0ae2c1924d2fbcb9968b14351ac0e25585a6c23fb2c5f022c954d38d0b8d48e9, r)),
                        mulmod(x3, 0x03ed0035fdd106450e7ce744f3919681808760fec8a6c1105d8eb59283992a62, r)),
                        mulmod(x4, 0x277404872c855942b86629c1ed51ad83590b08d7f421b63d85eb1e8e5571927a, r)),
                        mulmod(x5, 0x1dcbbf863d211ca0b6be2dd9ab5ce1dd6dc55220b568c574e4fe0bd53a5eb1a1, r), r))
            }
            let lanes := add(table, 3456)
            mstore(lanes, 0)
            mstore(add(lanes, 32), a1)
            mstore(add(lanes, 64), a2)
            mstore(add(lanes, 96), a3)
            mstore(add(lanes, 128), a4)
            mstore(add(lanes, 160), a5)
            let ptr := table
            for { let end := add(table, 576) } lt(ptr, end) { ptr := add(ptr, 192) } { full(ptr, lanes) }
            last(ptr, lanes)
            {
                let r := 0x30644e72e131a029b85045b68181585d2833e84879b9709143e1f593f0000001
                let q
                let s0 := mload(lanes)
                let z1 := mload(add(lanes, 32))
                let z2 := mload(add(lanes, 64))
                let z3 := mload(add(lanes, 96))
                let z4 := mload(add(lanes, 128))
                let z5 := mload(add(lanes, 160))
                ptr := add(table, 1536)
                for { } lt(ptr, lanes) { ptr := add(ptr, 32) } {
                    let x := add(s0, mload(ptr))
                    q := mulmod(x, x, r)
                    x := mulmod(mulmod(q, q, r), x, r)
                    s0 := add(mulmod(x, 0x124666f80561ed5916f2f070b1bd248c6d53f44d273d956a0c87b917692a4d18, r), z1)
                    let first := z1
                    z1 := addmod(z2, add(mulmod(first, 0x048d656ff752317c7daa81dc71cdf2a2ebc7625b83540bf73973e353f8b20e59, r),
                        mulmod(x, 0x0888977f0006934b7480597c6322d466025ed4a4bf4514b504f6abf6950ccb50, r)), r)
                    z2 := add(z3, add(mulmod(first, 0x0aee0cb0c04f6f3154ccc3780f2d33159778d1242b86da2aea6bcfd6826b3231, r),
                        mulmod(x, 0x29abefe912bda8005e870d46fff2096d43bf156b19bb3dda876a8ab7d08df0a3, r)))
                    z3 := addmod(z4, add(mulmod(first, 0x071ac0347528ff3a1cf815daea4daf474fa434ecdcf804c79793736dfe4724b4, r),
                        mulmod(x, 0x15d96d9edf3f60a6517630eea5da336333e6083ce55bfb67db5bf9eb0bb547cf, r)), r)
                    z4 := add(z5, add(mulmod(first, 0x21b5a06b924325638c204d23ae36412555e5e130635ecec149c77c4b4837a30c, r),
                        mulmod(x, 0x19fd7369a1cec25617d27c14912f4b47a65327df5f40f69964e2bbc38578bcd8, r)))
                    z5 := add(mulmod(first, 0x2af7059dfc198e0e980492115fd669de6858e9aa723d17cb62c043b2ce612e09, r),
                        mulmod(x, 0x24fc59446c719fce095293450bb189449814283755821f2eb46c1e119d787c94, r))
                }
                mstore(lanes, s0)
                mstore(add(lanes, 32), addmod(add(add(add(mulmod(z1, 0x038bf4a147a96c2d4a11ee53ae7dff556336ac1d94f425dafe8e5f7a3824055a, r),
                        mulmod(z2, 0x119ad355b33078c1b7434ca3f7200f0e5e586b8bfd813cd1c9d75a7a2d4f8a5e, r)),
                        mulmod(z3, 0x14985f6f7132ff64610b802482162e679b206be055dc6b35adeb9bfa2518c28e, r)),
                        mulmod(z4, 0x01c192cc267fbcd57b3aa562ade517daeff4fb5744d8d1c7081a053f370aeb3a, r)),
                        mulmod(z5, 0x14eba1cb0893db991adf09e4335799a06431d9511eadb5c3ce0611815b93057d, r), r))
                mstore(add(lanes, 64), addmod(add(add(add(mulmod(z1, 0x14fc6d005ec4e7ebc7698f05559c690723d184eb27c065776a036494fda0248c, r),
                        mulmod(z2, 0x092907be837cfbf232396ace390bb5139eb63b66ade326b44a7e9890107c7dca, r)),
                        mulmod(z3, 0x2f5f1021ca468355762d7054ed95f20e13e1ca7f30ec0d5749f22c61a37f5c1d, r)),
                        mulmod(z4, 0x2401d05c99e515be6097e5b6f8fcde2ec8d32353ad0497a5080f9dc6cc247175, r)),
                        mulmod(z5, 0x0a03aa095a8b13967ccb34638045aa88cd290ff84d1a3602ff535d313f3d38dc, r), r))
                mstore(add(lanes, 96), addmod(add(add(add(mulmod(z1, 0x1a988de7436d85a4d7c6025a5af8743fc0a6f8eac6418ce0668daa4f90aa99d3, r),
                        mulmod(z2, 0x10945fea56ab8250dc31f34fa19c512ab77efc468a74c2b2cfd855761f933ecf, r)),
                        mulmod(z3, 0x1ec220677dab608a82c617f63d941b93ba010d85a22345a3dd70a71609613935, r)),
                        mulmod(z4, 0x2ae187ce284d6a4977a28dba92a139638cfdfa6f752b5c214b47ebfd71b37b61, r)),
                        mulmod(z5, 0x28034fdcb7dd524533cf87f2f0091fce5540baf4e587b41b8a85cc9503cfc30f, r), r))
                mstore(add(lanes, 128), addmod(add(add(add(mulmod(z1, 0x2a0473c10ad6c3c58913cbaf35fc724dda9a195a9595824d4eee6753c325eb77, r),
                        mulmod(z2, 0x093bf8b999d945348fef7ede11506e59750511e7bc93b9e2ddd8be3de7b35fa8, r)),
                        mulmod(z3, 0x2de8477304961374ee88f457ae83376788f0688eccb19c2342df16297f9d1409, r)),
                        mulmod(z4, 0x2c00eae51b1b6103e426f8b6052d1efe1b87e11f9584a7bc421a45db86df422e, r)),
                        mulmod(z5, 0x13188dfd1203162cc566babbe0931e22f4dd78ea3c4a1cb9d25d0d06d96de75d, r), r))
                mstore(add(lanes, 160), addmod(add(add(add(mulmod(z1, 0x2c40136e54d1a2dae4eb809adf6d61e1722d0b29367e0b2bc3e536c2dfe02e5f, r),
                        mulmod(z2, 0x1f368062ffbd7ca9b7932591ebf9f76d74767dc68c6d6dc14657a319d483793f, r)),
                        mulmod(z3, 0x268d3bad99968e3510e549a1024b3199073ad02117af08218216e341fa691700, r)),
                        mulmod(z4, 0x23cce09c1fc738253bd0a458b331d4a6950ffd02feb50e1f267cbd0e1720134f, r)),
                        mulmod(z5, 0x212556774c4f183c622b310ba0010d8a17c5e3f73350704675ce69b3b331480e, r), r))
            }
            ptr := add(table, 768)
            for { let end := add(table, 1536) } lt(ptr, end) { ptr := add(ptr, 192) } { full(ptr, lanes) }
            digest := mod(mload(lanes), 0x30644e72e131a029b85045b68181585d2833e84879b9709143e1f593f0000001)
        }
    }
}
