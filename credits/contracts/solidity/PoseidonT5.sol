// SPDX-License-Identifier: MIT OR Apache-2.0
// Written by `credits/contracts/src/poseidon.rs`, which explains it; `cargo run --bin poseidon` writes it again.
pragma solidity 0.8.37;

/// Poseidon of 4 elements, each below r: what is not must not come here.
library PoseidonT5 {
    /// Puts the round constants into memory, and room for the lanes behind them; `hash` wants their address.
    function load() internal pure returns (uint256 table) {
        bytes memory constants =
            hex"0eb544fee2815dda7f53e29ccac98ed7d889bb4ebd47c3864f3c2bd81a6da891"
            hex"0554d736315b8662f02fdba7dd737fbca197aeb12ea64713ba733f28475128cb"
            hex"2f83b9df259b2b68bcd748056307c37754907df0c0fb0035f5087c58d5e8c2d4"
            hex"2ca70e2e8d7f39a12447ac83052451b461f15f8b41a75ef31915208f5aba9683"
            hex"1cb5f9319be6a45e91b04d7222271c94994196f12ed22c5d4ec719cb83ecfea9"
            hex"2eb4f99c69f966ebf8a42192de7ff61621c7bb47b93750c2b9ea08d18446c122"
            hex"224a28e5a35385a7c5198169e405d9ea0fc7da8b93ee13b6d5f7d099e299520e"
            hex"0f7411b465e600eed8afdd6afca49c3036f33ecbd9a0f97823796b993bbd82f7"
            hex"0f9d0d5aad2c9555a2be7150392d8d9819b208ae3370f99a0626f9ff5d90e4e3"
            hex"1e9a96dc8292bb596f52a59538d329229732b25259cf744b6a12d30702d6fba0"
            hex"08780514ccd90380887d578c45555e593cfe52eab4b945c6c2cd4d528fb3fe3c"
            hex"272498fced686c7ac8149fa3f73ef8c2ced64717e3556d5a59f119d629ccb5fc"
            hex"01ef8f9dd7c93aac4b7cb80930bd06eb45bd350aff585f10e3d0ef8a782ef7df"
            hex"045b9f59b6595e614dc08f222b469b138e886e64bf3c40aa97ea0ae754934d30"
            hex"0ac1e91c57d9da919fd6f59d2a40ff8ea3e41e24e247a387adf2584295d61c66"
            hex"028a1621a94054b0c7f9a421353cd89d0fd67061aee99979d12e68f04e62d134"
            hex"26b41802c071ea4c9632647ed059236e50c19c3fb3c96d09d02aae2a0dcd9dbc"
            hex"2fb5dda8072bb72cbaac2f63e468215e05c9de06758db6a94af34384aedb462b"
            hex"2212d3a0f5fccaf244ff3547fd823249ad8ab8ba2a18d383dd05c56ee894d850"
            hex"1b041ad5b2f0684258e4dfaeea09be56a3276fdb19f44c015cd0c7eed465e2e3"
            hex"125063ad821893043ac0a9607db015544523493016296da045a99638ec0d348d"
            hex"1374d180cbdf06f3f1bf189d3a79cce15e519b369ee528594dcd87e7dd5d0dde"
            hex"2d950d8443ed86b476bbb8274c33e9dfd9e391e4b92d52a4d09b111076a9ea6f"
            hex"031ca8713e84a4ff5523f892c05771dde5482834f4d806057bf4204c346efd19"
            hex"1c922a706055402e2a7678c0348561bfd11117596de5e53796915f61ef6d347d"
            hex"17c31ea02fbc378320d86ffed6c7ca1583b618c5c1a687818d4087a497d73490"
            hex"05b86c4bb8ef318b6a7227e4192d149d3c17a9764ccd660de4d50a77f192a91b"
            hex"265bc95df4a4c4876ff70d7ea2fde2c7ab15f4a6ae0d237cd6ce74ba986c7a7b"
            hex"24752b47bc6c6bc8d9bbe48f5fef2f6908701739c5f5b4b3d6c886d4715c7929"
            hex"14814a1e0f492a4ea0d86e527a96482178d624b98da96ee5e583b9324d974efe"
            hex"10def931073b6479bd60577378f29381997c8e041d3cfb3dc7523bca906f00bd"
            hex"14f7ae770bf7e95f7f706c0d8ab4ed03fa0b880d28c69d031b4592c98610175f"
            hex"1aef50a0cee751b59f926af40e8035d19decc9d428ebe4e775c5cc9dce1ce589"
            hex"041935607172f68eba65ca60068dfe3b086c2a2d57d09602951214b57e73cf5a"
            hex"26863e9dd24255d1573bd083959b856c0493fbefe83c819837a151d3bf452cb8"
            hex"2036efb6f9830965eb3d7a068bd087c9f5adf251ba62052c652738e63ff8b3af"
            hex"0c712a975b74dc9d766b639a029969ca30be4f75a753f854b00fa4f1b4f4ee9b"
            hex"08014dab3cd1667e27afc99bfac1e6807afdff6456492ca3375731d387539699"
            hex"198d07192db4fac2a82a4a79839d6a2b97c4dd4d37b4e8f3b53009f79b34e6a4"
            hex"29eb1de42a3ad381b23b4131426897a32709b29d53bb946dfd15784d1f63e572"
            hex"0a01776bb22f4b6b8eccff33e76fded3144fb7e3ac14e846a91e64afb1500eff"
            hex"09d8db1e10531681407aaf525e01aecfbbb0a20ee68b595a72b78cc72ce6a73e"
            hex"151efb27426ad51d3874abc4ce05faeb67758bb33760c644d8ab001b9941608b"
            hex"2cf5a51438538da9d608292c8a4ba4baf6f356706d9bfad6b96aa9c5ef38faa4"
            hex"14c074b8d3806789ee1642c41c4aa5ff2eb5e586aaf71676aede09c850cb3bbd"
            hex"1434eed9fd6ccfb679cae98d38fba1b3b34156948b47e020568dbe0182543960"
            hex"1a99e9ee433de4876d9cdf34d63216472288e9335e27e61c9f5d11b82e079ec7"
            hex"1d58137fe94a35e78bd29b738c804f92bface4c6815a8b144ec25941d1ebde74"
            hex"1bbefcec59b523c3fd35b2e3d323375b5a646afb65a0506f5d1ed45454e66016"
            hex"05323a5b7e5aa659e91b7f75adb0583b3f959e034e0e5a410248b788d2fbf362"
            hex"1e53285d3dbbb3a8d9a6d9791aa68cd402de6536b624c1f794bb7dd92d935dcc"
            hex"07fb892ef8f0ed888c90336b5a0926fb34cb96d7368d288fb477826d651f82f2"
            hex"0b515b464a837b928c030540ccd082861322cd4c56b5c112bb8efa6351402dec"
            hex"2c6ad0c9cb1810417ed6abcb6a84a60608651a1d9e6f30d323a1a0edea71c902"
            hex"12873d46d984c662165f19c232f05b381052b7d1f1ace004b4970f142c92c719"
            hex"3017c866411ce594a6c4f2010a0653340ac2c9c6107b5ab43c9e84a7a68d0a0a"
            hex"1ab3fc0f89372cee5ddb35a2ede99ca6e8172167c96a656cd72a683e3c4eee17"
            hex"20c3f011236970f8ec88afe462e3138d2eed726499e0c485de20eec8d1697f5b"
            hex"0298f303d47f472e0c5d0b410298320827b0a5ad8c66c5e6aa34de95669bbe1b"
            hex"208ac5eeacde932fb4302bc9f244899fe129d25234ab8cd22a836c5e71091424"
            hex"0f2ca813808c8469435d649edb0730ae33c2e86928cd086e4e33efd34950351e"
            hex"1520c64e5fb5c99a7b68e3e03cdbb90b2f59fe97898bc02cffa9de2e8e1da88c"
            hex"21a28ccdb1d042ec15fefbb498777aeb719b86be42f2608ec9bf4bc517b3cafc"
            hex"2cdae0355cdf1070275a3bdd9d7ab980dffdbb615a7ed86cd697c70a22a7cc05"
            hex"1d27a5e0293d22dcf7aaee1e6a67c3292f65e3480a4d9765c976b6c9be52b685"
            hex"2691be3ee1df97377a701b992d8eef4671272684a513b59d4cd36a09124b4a14"
            hex"146c4fa473f5428073fb5fa8cb65f1ac852c5f4402d185b25b999133056a6c2c"
            hex"00f5bdb573e15214433025064b3e17ff482eb98e28f55f2c634781e4de98b550"
            hex"2a238a6cb670408d1cf3482472eb7721f4f9b982853d7b33418a013e34daa266"
            hex"3019c8789ac42055c829293cada0a8fb56955dd7559e16c2f1c8e4024dc0ca2e"
            hex"2303beee75071614370ab3ec96b318a4b2c3ff4218417966ac656533023190df"
            hex"286aeec5c4030177d3b81814fbb0faa80fbee808e1206c0bded75dcbbb70aa85"
            hex"1587337ad03036c3b4d82f7cce42b8a7a5b8452e9d098954f29d08cd1f7864f3"
            hex"226c3b55657adacbc72c378cd9802aa4ff94298a6efcdc641a4da4530985ab9f"
            hex"255007cb4495b034ec1fbd8506ec2f26fa3f80ebcf3ec284a0f23147a5735166"
            hex"02d4133c9f09da5700555df45e8c82c87d1f4ec891b53bd0d9ebf21b6cce37e3"
            hex"109dba8937cbdfd914627fa0bba13a1508528cf4df56b0c07c23b51d09d127f6"
            hex"147936b3fd03ca1f1ddf9081c23ebad94bdd42c86c1c58316521b42f5482b23f"
            hex"1c31fbc9febc9ba157526d33fa411ebff9808868831bae843468de84d7e9331a"
            hex"18ecf5e6a035d1204fe5194b3c38fc00384fadd45acb9eef58b225642b491e05"
            hex"2fd1e44b644f4a07c9e30bb89885187683c3549e28774ad2ac080dc409be0b4a"
            hex"276339d9ad99aa77f8becf048f4512f96f4cf6948c3815d09ff6f3632eead0e2"
            hex"05ed1ff19f1a54e0d18bee962faab3a8f8f999f358514c7b3c50b1bc8f890a91"
            hex"23f7a8ce33fccf2f75395f46b1b2d6a51f72a62caea8b5aaa1f819db7a230b3c"
            hex"2767d9e8059193f2ecb8b77e12fe38dbd1430e43672a3b4ee73789c3b67d4233"
            hex"2805951a06db2531ad19fb97a85cfddc7654f1d663102e45742e4e13728550a4"
            hex"1edd84a843583eb4753d8670bf0cda7bbd690a54e756b231e040f0da20ba6b3c"
            hex"21cea290380518eef8f31162cf8624766526c28953fbc248301787c6a9bc082e"
            hex"041b116370212c62e6c621444681d5b37e8a8cd7027646a7a292d1bb2a8b884d"
            hex"01555fcdcf02d909cf1a95811bcd2c1823f1c24df281b1a16c68e789c6ed53ca"
            hex"1c06657b32ae9acf0a43176a46fc1d6b7a4cc3b66f3de49deb235694a89a93fd"
            hex"0d32adb776a343cf9b20a974fdc9e169cefec52aeaa4abcaeee770050b49cb13"
            hex"18ada57fba9608a3bbac607467d428f35da2d1c2a3055a20563fdffa845e362a"
            hex"0d3eba9b435e6ddd9ffb1e299ca3663cf14fe655f22866b1eef0e47f14fd271f"
            hex"02d000bc10e747aa5a27a1fb069f6f9680300001ddd7a74b94b86e89917f9259"
            hex"0d64bebe8571c4534fef423cde86c35b755bfb86e3110c6392ca4ed81d10f29b"
            hex"2dbbf275e85a4d0b6d0c7f95be54cbb86a0630bfc38c230cea833ca469729705"
            hex"260d6aa6f101e27922715e1ea1ab3b5ee9b2dcc2b1934f6233c97f6ce80e9119"
            hex"0d049af9615baa1daded16cc5bbdf17064cc6d134e2875c8da730c8875a371bf"
            hex"039e3bcd53336ceb3f3d1fbff42664a6a6c3a69d226e15d1afd921ee80f66cc0";
        assembly ("memory-safe") {
            table := add(constants, 32)
            mstore(0x40, add(mload(0x40), 160))
        }
    }

    /// The hash, below r.
    function hash(uint256 table, uint256 a1, uint256 a2, uint256 a3, uint256 a4) internal pure returns (uint256 digest) {
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
                mstore(add(lanes, 0), addmod(add(add(add(mulmod(x0, 0x251e7fdf99591080080b0af133b9e4369f22e57ace3cd7f64fc6fdbcf38d7da1, r),
                        mulmod(x1, 0x25fb50b65acf4fb047cbd3b1c17d97c7fe26ea9ca238d6e348550486e91c7765, r)),
                        mulmod(x2, 0x293d617d7da72102355f39ebf62f91b06deb5325f367a4556ea1e31ed5767833, r)),
                        mulmod(x3, 0x104d0295ab00c85e960111ac25da474366599e575a9b7edf6145f14ba6d3c1c4, r)),
                        mulmod(x4, 0x0aaa35e2c84baf117dea3e336cd96a39792b3813954fe9bf3ed5b90f2f69c977, r), r))
                mstore(add(lanes, 32), addmod(add(add(add(mulmod(x0, 0x2a70b9f1d4bbccdbc03e17c1d1dcdb02052903dc6609ea6969f661b2eb74c839, r),
                        mulmod(x1, 0x281154651c921e746315a9934f1b8a1bba9f92ad8ef4b979115b8e2e991ccd7a, r)),
                        mulmod(x2, 0x28c2be2f8264f95f0b53c732134efa338ccd8fdb9ee2b45fb86a894f7db36c37, r)),
                        mulmod(x3, 0x21888041e6febd546d427c890b1883bb9b626d8cb4dc18dcc4ec8fa75e530a13, r)),
                        mulmod(x4, 0x14ddb5fada0171db80195b9592d8cf2be810930e3ea4574a350d65e2cbff4941, r), r))
                mstore(add(lanes, 64), addmod(add(add(add(mulmod(x0, 0x2f69a7198e1fbcc7dea43265306a37ed55b91bff652ad69aa4fa8478970d401d, r),
                        mulmod(x1, 0x001c1edd62645b73ad931ab80e37bbb267ba312b34140e716d6a3747594d3052, r)),
                        mulmod(x2, 0x15b98ce93e47bc64ce2f2c96c69663c439c40c603049466fa7f9a4b228bfc32b, r)),
                        mulmod(x3, 0x12c7e2adfa524e5958f65be2fbac809fcba8458b28e44d9265051de33163cf9c, r)),
                        mulmod(x4, 0x2efc2b90d688134849018222e7b8922eaf67ce79816ef468531ec2de53bbd167, r), r))
                mstore(add(lanes, 96), addmod(add(add(add(mulmod(x0, 0x0c3f050a6bf5af151981e55e3e1a29a13c3ffa4550bd2514f1afd6c5f721f830, r),
                        mulmod(x1, 0x0dec54e6dbf75205fa75ba7992bd34f08b2efe2ecd424a73eda7784320a1a36e, r)),
                        mulmod(x2, 0x1c482a25a729f5df20225815034b196098364a11f4d988fb7cc75cf32d8136fa, r)),
                        mulmod(x3, 0x2625ce48a7b39a4252732624e4ab94360812ac2fc9a14a5fb8b607ae9fd8514a, r)),
                        mulmod(x4, 0x07f017a7ebd56dd086f7cd4fd710c509ed7ef8e300b9a8bb9fb9f28af710251f, r), r))
                mstore(add(lanes, 128), addmod(add(add(add(mulmod(x0, 0x2a20e3a4a0e57d92f97c9d6186c6c3ea7c5e55c20146259be2f78c2ccc2e3595, r),
                        mulmod(x1, 0x1049f8210566b51faafb1e9a5d63c0ee701673aed820d9c4403b01feb727a549, r)),
                        mulmod(x2, 0x02ecac687ef5b4b568002bd9d1b96b4bef357a69e3e86b5561b9299b82d69c8e, r)),
                        mulmod(x3, 0x2d3a1aea2e6d44466808f88c9ba903d3bdcb6b58ba40441ed4ebcf11bbe1e37b, r)),
                        mulmod(x4, 0x14074bb14c982c81c9ad171e4f35fe49b39c4a7a72dbb6d9c98d803bfed65e64, r), r))
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
                mstore(add(lanes, 0), addmod(add(add(add(mulmod(x0, 0x251e7fdf99591080080b0af133b9e4369f22e57ace3cd7f64fc6fdbcf38d7da1, r),
                        mulmod(x1, 0x25fb50b65acf4fb047cbd3b1c17d97c7fe26ea9ca238d6e348550486e91c7765, r)),
                        mulmod(x2, 0x293d617d7da72102355f39ebf62f91b06deb5325f367a4556ea1e31ed5767833, r)),
                        mulmod(x3, 0x104d0295ab00c85e960111ac25da474366599e575a9b7edf6145f14ba6d3c1c4, r)),
                        mulmod(x4, 0x0aaa35e2c84baf117dea3e336cd96a39792b3813954fe9bf3ed5b90f2f69c977, r), r))
                mstore(add(lanes, 32), addmod(add(add(add(mulmod(x0, 0x09fa487e7f5a0583903205ac467176e982991835de3fc7709778150adeff981e, r),
                        mulmod(x1, 0x08bdd77a1b245ee80f095b15e69f499486228d259e027b114e1578730c12ecb5, r)),
                        mulmod(x2, 0x27051769e1d35debbef78afd6f88fad906fcdb48e998f610387a8a90f5e817e5, r)),
                        mulmod(x3, 0x27c48a2d2154910cf0cfd5d06bb3712c46be3482a7427aca337f03072840a35d, r)),
                        mulmod(x4, 0x012eb22c968257f0affa5362a39bc5b4320476988b256e2ecbc57e92044df118, r), r))
                mstore(add(lanes, 64), addmod(add(add(add(mulmod(x0, 0x05165212b2b7a3d682b543e7bf8ee28f2052a745f92d8389cce30e45ebb3ba01, r),
                        mulmod(x1, 0x2e28bd8f81b1eff7dabfcc956dd44162ca8c1f0499420bf080f275e59bfcc297, r)),
                        mulmod(x2, 0x05c6fa4f8854fbd3c2dae9edcfaf8098d61e0e9f1590b3118987390e0aef723d, r)),
                        mulmod(x3, 0x2f7e4159ecd771c61dfc2c8fd90309ea62fbb02584b08c043a618df77b2979af, r)),
                        mulmod(x4, 0x2a744e7d2313c41b62589449c4c5ea94f21a456d2394bdb7659130e7febd38ff, r), r))
                mstore(add(lanes, 96), addmod(add(add(add(mulmod(x0, 0x13be2e849e96f3e0c545986d020d7162a30d006cde984ac35d80981faeb2c3fa, r),
                        mulmod(x1, 0x0288c6ee5b9bfa834232d53dd642c31709d028f242cd0833ee779131d7adbd37, r)),
                        mulmod(x2, 0x0a4db9c6bfa9aed775fdaca34147b5bbbfe6cf7c09f7cd33cf4f168e7466e8c0, r)),
                        mulmod(x3, 0x0cc0ee47976b8899805be19d48b734baa2f6ab41490cc0632fc6aff59da022d8, r)),
                        mulmod(x4, 0x0f3e3fcbc10fd30cd0bdf2e63cbb645253ed1d0158229a2c5b87f7a0aabe4cba, r), r))
                mstore(add(lanes, 128), addmod(add(add(add(mulmod(x0, 0x1fffe92691906acdf003f576862ef37065eb858c5c3ac5fbbc5dd6443e1ceb9a, r),
                        mulmod(x1, 0x080203d39597da04a36b6a5ecfc78787435d4776db196f200b80db7aded37b40, r)),
                        mulmod(x2, 0x134a880ae7478968193e572b06dcf0a082520a512f8f3de4ea148e094a9a2b00, r)),
                        mulmod(x3, 0x10870503fe123ce15d3cc9484e7cb2765b9a12f6f02ebc98f01f2d2ad4008d16, r)),
                        mulmod(x4, 0x0b0b48802c2824c315f1fb2b5b9418398a9be311a9683e62dca121576372d941, r), r))
            }
            let lanes := add(table, 3200)
            mstore(lanes, 0)
            mstore(add(lanes, 32), a1)
            mstore(add(lanes, 64), a2)
            mstore(add(lanes, 96), a3)
            mstore(add(lanes, 128), a4)
            let ptr := table
            for { let end := add(table, 480) } lt(ptr, end) { ptr := add(ptr, 160) } { full(ptr, lanes) }
            last(ptr, lanes)
            {
                let r := 0x30644e72e131a029b85045b68181585d2833e84879b9709143e1f593f0000001
                let q
                let s0 := mload(lanes)
                let z1 := mload(add(lanes, 32))
                let z2 := mload(add(lanes, 64))
                let z3 := mload(add(lanes, 96))
                let z4 := mload(add(lanes, 128))
                ptr := add(table, 1280)
                for { } lt(ptr, lanes) { ptr := add(ptr, 32) } {
                    let x := add(s0, mload(ptr))
                    q := mulmod(x, x, r)
                    x := mulmod(mulmod(q, q, r), x, r)
                    s0 := add(mulmod(x, 0x251e7fdf99591080080b0af133b9e4369f22e57ace3cd7f64fc6fdbcf38d7da1, r), z1)
                    let first := z1
                    z1 := add(z2, add(mulmod(first, 0x172f5e628cc26149dcc488004690cfa55faac52708481fffb3d4cfa3808b4051, r),
                        mulmod(x, 0x09fa487e7f5a0583903205ac467176e982991835de3fc7709778150adeff981e, r)))
                    z2 := addmod(z3, add(mulmod(first, 0x2c01b6282fad3d37bdc72033b4d8da10494ac283ec74d5e63d72dbe06b4037c6, r),
                        mulmod(x, 0x05165212b2b7a3d682b543e7bf8ee28f2052a745f92d8389cce30e45ebb3ba01, r)), r)
                    z3 := add(z4, add(mulmod(first, 0x2503f642cfcb5f06e1a18c68efca3c0672ed26edfc7e6e77513ba7a4c660ab53, r),
                        mulmod(x, 0x13be2e849e96f3e0c545986d020d7162a30d006cde984ac35d80981faeb2c3fa, r)))
                    z4 := add(mulmod(first, 0x218796dd338868e7300732cf5d3925c74c1badd0a32d8b41b96e555ddfe27869, r),
                        mulmod(x, 0x1fffe92691906acdf003f576862ef37065eb858c5c3ac5fbbc5dd6443e1ceb9a, r))
                }
                mstore(lanes, s0)
                mstore(add(lanes, 32), add(add(add(mulmod(z1, 0x2d707e874df90edfc5d3be6bb0a7f248a59bd97802d577f6e02f7e3edbff2260, r),
                        mulmod(z2, 0x02eb4413c7cd427a38a61b1bf006e5840d7e160e38c27daeacd3477f34f251a6, r)),
                        mulmod(z3, 0x1e9c55968b09ebc5d2a2da375d3ab895041772fc9ddf42e70accb367ffad163d, r)),
                        mulmod(z4, 0x1f12303e4dd8134c80e541b3ee376b473431d852d368476d62ae591eb50c1fb4, r)))
                mstore(add(lanes, 64), add(add(add(mulmod(z1, 0x01f2d9f5b5fdee1801d13aaa606905eacc7e87c436465af59db5c340f6cde3d8, r),
                        mulmod(z2, 0x2690b69b83b04b9bc1e75da7d77f0f8001bbb1d29936ccbbe91a7299d39361d3, r)),
                        mulmod(z3, 0x2f207101f14cafb75383700d3d7d6ebb13549e655f1facf15327385a4644cda7, r)),
                        mulmod(z4, 0x0fc40f22a7b7a774910c71bf287ff5b975a731ec30832d7591467e660b5cd588, r)))
                mstore(add(lanes, 96), add(add(add(mulmod(z1, 0x073ec28b16fdc1927e5938d1edf08161cc6bfb783fae210446a5932954f92f5e, r),
                        mulmod(z2, 0x113963e436b7f9dc1ed1e1399f7fa28745b026ed052ee66a894199b913866cf6, r)),
                        mulmod(z3, 0x26d1f6ad1f8858afa873464578ceacb4ff11a9eeb46ab21332ebeec4d6246ee3, r)),
                        mulmod(z4, 0x2bd6d392fb461e926f841d5530a743db2dd62b3b756ce1684f4b36bd79976ee5, r)))
                mstore(add(lanes, 128), add(add(add(mulmod(z1, 0x05133b40257f30b65882a39e00f70240efe28e04048a97f4765b5f5383f3638d, r),
                        mulmod(z2, 0x0d36529f1141d624fdc84bb847347c76b5b0c31ea9f846b17846bf14881c1f95, r)),
                        mulmod(z3, 0x14618eec28c5f872102d4f71916b93eb975dafd0e6a2ed43316f2ae8ed6f262a, r)),
                        mulmod(z4, 0x269911f3cc7a4c7fe1a845decaed9552c83d692017c3e50d04a870cd5afb4e13, r)))
            }
            ptr := add(table, 640)
            for { let end := add(table, 1280) } lt(ptr, end) { ptr := add(ptr, 160) } { full(ptr, lanes) }
            digest := mod(mload(lanes), 0x30644e72e131a029b85045b68181585d2833e84879b9709143e1f593f0000001)
        }
    }
}
